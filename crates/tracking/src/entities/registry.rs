//! The model registry: names, versions, aliases and the history of aliases. Every change of an alias is a tag of the registered model,
//! `<alias> <time>`: the history is only extended, and MLflow shows it. [`alias_history`] reads it, [`previous_version`] returns the
//! last version of an alias.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::error::TrackingError;

/// The alias of the version in production.
pub const CHAMPION: &str = "champion";
/// The alias of the version that may replace the champion.
pub const CHALLENGER: &str = "challenger";

/// A registry of models.
pub trait Registry: std::fmt::Debug {
    /// The registered model called `name`, if there is one.
    ///
    /// # Errors
    /// If the registry cannot be read.
    fn model(&self, name: &str) -> Result<Option<RegisteredModel>, TrackingError>;

    /// All versions of a registered model, the newest first.
    ///
    /// # Errors
    /// If the registry cannot be read.
    fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, TrackingError>;

    /// Sets `alias` to `version`.
    ///
    /// # Errors
    /// If the registry cannot be written.
    fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<(), TrackingError>;

    /// Sets a tag of a registered model.
    ///
    /// # Errors
    /// If the registry cannot be written.
    fn tag_model(&self, name: &str, key: &str, value: &str) -> Result<(), TrackingError>;

    /// Sets a tag of a version.
    ///
    /// # Errors
    /// If the registry cannot be written.
    fn tag_version(&self, name: &str, version: &str, key: &str, value: &str) -> Result<(), TrackingError>;

    /// Copies one file of a version's model to the path `to`.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read or written.
    fn fetch(&self, version: &ModelVersion, file: &str, to: &Path) -> Result<(), TrackingError>;

    /// The address of a page that shows a registered model; `None` without a server.
    fn model_page(&self, name: &str) -> Option<String>;
}

/// A registered model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Its tags, including the history of aliases.
    pub tags: BTreeMap<String, String>,
    /// The version of each alias.
    pub aliases: BTreeMap<String, String>,
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The name of the registered model.
    pub name: String,
    /// Its number, as text.
    pub version: String,
    /// The time of registration, milliseconds since 1970-01-01 UTC.
    pub created: i64,
    /// The id of its run.
    pub run_id: Option<String>,
    /// The id of its logged model.
    pub model_id: Option<String>,
    /// The URI of its files, as MLflow writes it.
    pub source: String,
    /// Its description, in Markdown.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A change of an alias.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AliasChange {
    /// The time of the change, milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub at: i64,
    /// The new version.
    pub version: String,
    /// The version before.
    pub from: Option<String>,
    /// The reason: `registered`, `promoted` or `rolled back`, with metrics where there are some.
    pub why: String,
    /// The user who changed it.
    pub by: Option<String>,
}

impl AliasChange {
    /// The change by which `user` (empty if unknown) registers a version.
    pub(crate) fn registered(at: i64, version: &str, from: Option<String>, user: &str) -> Self {
        let by = Some(user.to_owned()).filter(|user| !user.is_empty());
        Self { at, version: version.to_owned(), from, why: "registered".into(), by }
    }
}

/// The id of the logged model in the source of a version.
pub(crate) fn logged_model_of(source: &str) -> Option<String> {
    source.strip_prefix("models:/").filter(|id| id.starts_with("m-")).map(str::to_owned)
}

/// Sets `alias` to the version of the change, then adds the change to the history.
///
/// # Errors
/// If the registry cannot be written. The history is written last, so that it holds no change that was not made.
pub fn move_alias(registry: &dyn Registry, name: &str, alias: &str, change: &AliasChange) -> Result<(), TrackingError> {
    registry.set_alias(name, alias, &change.version)?;
    registry.tag_model(name, &history_key(alias, change.at), &history_value(change))
}

/// The key of the tag of a change. Keys sort by time.
pub(crate) fn history_key(alias: &str, at: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{alias} {}", time.strftime("%Y-%m-%d %H:%M:%S.%3f"))
}

pub(crate) fn history_value(change: &AliasChange) -> String {
    let from = change.from.as_ref().map_or(String::new(), |from| format!(", before it {from}"));
    let by = change.by.as_ref().map_or(String::new(), |by| format!(", by {}", by.replace([',', ':'], " ")));
    format!("version {}{from}{by}: {}", change.version, change.why)
}

/// The changes of `alias`, the oldest first.
pub fn alias_history(model: &RegisteredModel, alias: &str) -> Vec<AliasChange> {
    // tags are sorted by key, and keys by time
    model.tags.iter().filter_map(|(key, value)| parse_move(key.strip_prefix(alias)?.strip_prefix(' ')?, value)).collect()
}

fn parse_move(time: &str, value: &str) -> Option<AliasChange> {
    let at = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", time).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    let (head, why) = value.split_once(": ")?;
    let mut parts = head.split(", ");
    let version = parts.next()?.strip_prefix("version ")?.to_owned();
    let (mut from, mut by) = (None, None);
    for part in parts {
        if let Some(version) = part.strip_prefix("before it ") {
            from = Some(version.to_owned());
        } else if let Some(name) = part.strip_prefix("by ") {
            by = Some(name.to_owned());
        }
    }
    Some(AliasChange { at, version, from, why: why.to_owned(), by })
}

/// The first words of the reason of a rollback.
pub const ROLLED_BACK: &str = "rolled back";

/// The version of `alias` before the current one. Two rollbacks go back two versions.
pub fn previous_version(model: &RegisteredModel, alias: &str) -> Option<String> {
    let mut stack: Vec<String> = Vec::new();
    for change in alias_history(model, alias) {
        if change.why.starts_with(ROLLED_BACK) {
            while stack.last().is_some_and(|top| *top != change.version) {
                stack.pop();
            }
        } else if let Some(from) = &change.from
            && stack.last() != Some(from)
        {
            // another program changed it in between
            stack.push(from.clone());
        }
        if stack.last() != Some(&change.version) {
            stack.push(change.version);
        }
    }
    let current = model.aliases.get(alias);
    if current.is_some() && stack.last() == current {
        stack.pop();
    }
    stack.pop()
}

/// The change that set `alias` as it was at a time, milliseconds since 1970-01-01 UTC.
pub fn version_at(model: &RegisteredModel, alias: &str, at: i64) -> Option<AliasChange> {
    alias_history(model, alias).into_iter().take_while(|change| change.at <= at).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(known: &[(i64, &str, Option<&str>, &str)], now: &str) -> RegisteredModel {
        let tag = |(at, version, from, why): &(i64, &str, Option<&str>, &str)| {
            let change = AliasChange {
                at: *at,
                version: (*version).into(),
                from: from.map(str::to_owned),
                why: (*why).into(),
                by: Some("ada".into()),
            };
            (history_key(CHAMPION, *at), history_value(&change))
        };
        RegisteredModel {
            name: "m".into(),
            tags: known.iter().map(tag).chain([("owner".into(), "x".into())]).collect(),
            aliases: [(CHAMPION.to_owned(), now.to_owned())].into(),
        }
    }

    #[test]
    fn a_move_is_read_as_it_was_written() {
        let model = model(&[(1_795_406_453_200, "3", Some("2"), "promoted: mae 5 against 6, better")], "3");
        assert_eq!(model.tags.keys().next().unwrap(), "champion 2026-11-23 04:00:53.200");
        let expected = AliasChange {
            at: 1_795_406_453_200,
            version: "3".into(),
            from: Some("2".into()),
            why: "promoted: mae 5 against 6, better".into(),
            by: Some("ada".into()),
        };
        assert_eq!(alias_history(&model, CHAMPION), std::slice::from_ref(&expected));
        assert_eq!(alias_history(&model, CHALLENGER), []);
        assert_eq!(version_at(&model, CHAMPION, 1_795_406_453_199), None);
        assert_eq!(version_at(&model, CHAMPION, 1_795_406_453_200), Some(expected));
    }

    #[test]
    fn rolling_back_twice_goes_back_two_versions() {
        let promoted = [(1, "1", None, "promoted"), (2, "2", Some("1"), "promoted"), (3, "4", Some("2"), "promoted")];
        assert_eq!(previous_version(&model(&promoted[..1], "1"), CHAMPION), None);
        assert_eq!(previous_version(&model(&promoted, "4"), CHAMPION).as_deref(), Some("2"));
        let mut moves = promoted.to_vec();
        moves.push((4, "2", Some("4"), "rolled back"));
        assert_eq!(previous_version(&model(&moves, "2"), CHAMPION).as_deref(), Some("1"));
        moves.push((5, "5", Some("2"), "promoted"));
        assert_eq!(previous_version(&model(&moves, "5"), CHAMPION).as_deref(), Some("2"));
        // set by hand in MLflow's pages: the last that was noted is what was before
        assert_eq!(previous_version(&model(&moves, "9"), CHAMPION).as_deref(), Some("5"));
    }
}
