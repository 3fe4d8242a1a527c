//! `train versions`: lists the versions of a registered model and its champion history.

use std::collections::BTreeMap;

use anyhow::Context;
use cli::{Outcome, Progress, Refused};
use model::{format_metric, metric_label};
use serde::Serialize;
use tracking::{AliasChange, CHAMPION, ModelVersion, RegisteredModel, alias_history, version_at};

use crate::{args::VersionsArgs, tracking::registry};

#[derive(Serialize)]
struct VersionListing<'a> {
    name: &'a str,
    aliases: &'a BTreeMap<String, String>,
    champions: Vec<AliasChange>,
    versions: &'a [ModelVersion],
}

/// Lists the versions, or prints the champion at a time.
pub(crate) fn list(args: &VersionsArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let (registry, model) = registry::connect(&args.tracking, &args.name, progress)?;
    if let Some(at) = &args.at {
        return champion_at(&model, at);
    }
    let versions = registry.versions(&args.name)?;
    let champions = alias_history(&model, CHAMPION);
    let mut human = table(&versions, &model);
    if !champions.is_empty() {
        human.push_str("\n\nchampions");
    }
    for change in &champions {
        let by = change.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
        human.push_str(&format!("\n  {} UTC  version {}{by}: {}", cli::utc(change.at), change.version, change.why));
    }
    if let Some(page) = registry.model_page(&args.name) {
        human.push_str(&format!("\n→ {page}"));
    }
    let listing = VersionListing { name: &args.name, aliases: &model.aliases, champions, versions: &versions };
    Ok(Outcome::done(&listing, human))
}

fn champion_at(model: &RegisteredModel, at: &str) -> anyhow::Result<Outcome> {
    let end_of_day = |date: jiff::civil::Date| date.at(23, 59, 59, 999_000_000).to_zoned(jiff::tz::TimeZone::UTC);
    let moment = match at.parse::<jiff::Timestamp>() {
        Ok(moment) => moment,
        // a date means the end of that day
        Err(_) => at
            .parse::<jiff::civil::Date>()
            .ok()
            .and_then(|date| end_of_day(date).ok())
            .with_context(|| format!("--at {at}: is not a time; write 2026-11-24 or 2026-11-24T05:35:13Z"))?
            .timestamp(),
    };
    let Some(change) = version_at(model, CHAMPION, moment.as_millisecond()) else {
        return Err(Refused(format!("{}: had no champion at that time, according to its history", model.name)).into());
    };
    let human = format!("version {} since {} UTC: {}", change.version, cli::utc(change.at), change.why);
    Ok(Outcome::done(&change, human))
}

fn table(versions: &[ModelVersion], model: &RegisteredModel) -> String {
    let tag = |version: &ModelVersion, key: &str| version.tags.get(key).cloned();
    let metric = |version: &ModelVersion, key: &str| {
        tag(version, key).and_then(|value| value.parse().ok()).map_or("–".to_owned(), |value| format_metric(key, value))
    };
    let mut lines = vec![
        [
            "version",
            "aliases",
            "registered (UTC)",
            "algorithm",
            metric_label("r2"),
            metric_label("mae"),
            metric_label("mape"),
            "run",
        ]
        .map(str::to_owned),
    ];
    lines.extend(versions.iter().map(|version| {
        let aliases: Vec<&str> =
            model.aliases.iter().filter(|(_, to)| **to == version.version).map(|(alias, _)| alias.as_str()).collect();
        [
            version.version.clone(),
            aliases.join(", "),
            cli::utc(version.created),
            tag(version, "algorithm").unwrap_or_default(),
            metric(version, "r2"),
            metric(version, "mae"),
            metric(version, "mape"),
            tag(version, "run_name").or_else(|| version.run_id.clone()).unwrap_or_default(),
        ]
    }));
    cli::format_table(&lines, &[4, 5, 6])
}
