//! `train promote`: makes a registered version the champion, if it passes the gate and is not worse than the champion on the same test
//! rows.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use artifact::{Manifest, RunPaths, check_input, lock_to_read};
use cli::{Outcome, Progress, Refused};
use evaluation::{Comparison, TestRow, compare, predict_test_rows, test_metrics, validate_champion_section};
use model::{ThresholdResult, check_thresholds, format_metric, metric_label};
use model_source::registered::load_predictor;
use predictor::Predictor;
use schema::{ConfigError, PipelineConfig};
use serde::Serialize;
use tracking::{AliasChange, CHALLENGER, CHAMPION, ModelVersion, RegisteredModel, Registry, move_alias};

use crate::{
    args::PromoteArgs,
    run_paths,
    tracking::{location::tracking_from_args, logged_model::SPLIT_TAG, registry},
};

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    status: &'static str,
    version: &'a str,
    champion: Option<&'a str>,
    test_rows: usize,
    gate: &'a [ThresholdResult],
    comparison: Option<&'a Comparison>,
}

/// A registered version, ready to predict.
struct PromotionCandidate {
    version: ModelVersion,
    predictor: Predictor,
}

/// Compares the version with the champion, and moves the alias if all checks pass.
///
/// # Errors
/// If a model, the table or the configuration cannot be read, or ([`Refused`]) there is no version to promote.
pub(crate) fn promote(args: &PromoteArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let name = &args.name;
    check_paths(args)?;
    let pipeline = read_pipeline_config(args)?;
    let _locks = lock_to_read(&args.data, &|folder| progress.waiting(folder));
    let (process, _) = check_input(&args.data, "process")?;
    let (registry, model) = registry::connect(&args.tracking, name, progress)?;
    let version = selected_version(args, &model)?;
    let champion = model.aliases.get(CHAMPION);
    let mut summary = Summary {
        name,
        status: "unchanged",
        version: &version,
        champion: champion.map(String::as_str),
        test_rows: 0,
        gate: &[],
        comparison: None,
    };
    if champion == Some(&version) {
        return Ok(Outcome::done(
            &summary,
            format!("promote   unchanged: version {version} of {name} is already the champion"),
        ));
    }
    let versions = registry.versions(name)?;
    let challenger = load_candidate(&*registry, find_version(&versions, &version, name)?)?;
    let test_rows = predict_candidate(&challenger, &args.data, progress)?;
    summary.test_rows = test_rows.len();
    let figures = test_metrics(&test_rows).named();
    let gate = gate(&pipeline, &challenger, &figures, args)?;
    summary.gate = &gate;

    let current = match champion {
        Some(current) => Some(load_candidate(&*registry, find_version(&versions, current, name)?)?),
        None => None,
    };
    let comparison = match &current {
        Some(current) => {
            warn_of_split(current, &process, progress);
            let champion_rows = predict_candidate(current, &args.data, progress)?;
            let name = format!("version {}", current.version.version);
            let comparison = compare(&pipeline.package.champion, &test_rows, &champion_rows, &name)?;
            comparison.warning().into_iter().for_each(|warning| progress.warn(warning));
            Some(comparison)
        }
        None => None,
    };
    summary.comparison = comparison.as_ref();
    let mut failures: Vec<String> =
        gate.iter().filter(|decision| !decision.passed).map(ThresholdResult::failed_text).collect();
    failures.extend(comparison.iter().filter(|comparison| !comparison.passed).map(Comparison::failed_text));
    let metrics_text = metrics_text(&figures, test_rows.len(), comparison.as_ref());
    if !failures.is_empty() {
        summary.status = "refused";
        let human = format!("promote   refused: version {version} of {name} does not become the champion{metrics_text}");
        return Ok(Outcome::done(&summary, human).refused(format!("{}. The champion stays", failures.join("; "))));
    }
    summary.status = "done";
    let why = match &comparison {
        Some(comparison) => format!("promoted: {}", comparison.text),
        None => "promoted: there was no champion".to_owned(),
    };
    let change = AliasChange {
        at: cli::now_ms().cast_signed(),
        version: version.clone(),
        from: champion.cloned(),
        why: why.clone(),
        by: cli::user(),
    };
    move_alias(&*registry, name, CHAMPION, &change)?;
    registry.tag_version(name, &version, "promotion", &why)?;
    let human = format!("promote   done: version {version} of {name} is the champion{metrics_text}");
    Ok(Outcome::done(&summary, human))
}

/// Checks that the store of runs, which is written, is not one of the files that are read.
fn check_paths(args: &PromoteArgs) -> anyhow::Result<()> {
    let paths = RunPaths::default().stage_input("--data", &args.data).input("--pipeline-config", &args.pipeline_config);
    let (tracking, _) = tracking_from_args(&args.tracking, Path::new("models"))?;
    Ok(run_paths::add_store(paths, &tracking, &args.tracking).check()?)
}

fn read_pipeline_config(args: &PromoteArgs) -> anyhow::Result<PipelineConfig> {
    let path = &args.pipeline_config;
    let text = cli::read_text(path, "--pipeline-config")?;
    let at = |error: ConfigError| anyhow::anyhow!("{}:{error}", path.display());
    let pipeline = PipelineConfig::parse(&text).map_err(at)?;
    if let Err((key, message)) = validate_champion_section(&pipeline.package.champion) {
        return Err(at(ConfigError::at(&text, &["package", "champion", key], message)));
    }
    Ok(pipeline)
}

fn selected_version(args: &PromoteArgs, model: &RegisteredModel) -> anyhow::Result<String> {
    match (args.version, model.aliases.get(CHALLENGER)) {
        (Some(version), _) => Ok(version.to_string()),
        (None, Some(version)) => Ok(version.clone()),
        (None, None) => Err(Refused(format!(
            "{}: no version has the alias `{CHALLENGER}`; name one with --version, or register one with `train --register`",
            args.name
        ))
        .into()),
    }
}

fn find_version(versions: &[ModelVersion], version: &str, name: &str) -> anyhow::Result<ModelVersion> {
    let existing = versions.iter().find(|existing| existing.version == version).cloned();
    existing.ok_or_else(|| {
        let existing: Vec<&str> = versions.iter().rev().map(|version| version.version.as_str()).collect();
        Refused(format!("{name}: there is no version {version}; the versions are {}", existing.join(", "))).into()
    })
}

fn load_candidate(registry: &dyn Registry, version: ModelVersion) -> anyhow::Result<PromotionCandidate> {
    let predictor = load_predictor(registry, &version)?;
    Ok(PromotionCandidate { version, predictor })
}

fn predict_candidate(candidate: &PromotionCandidate, data: &Path, progress: &Progress) -> anyhow::Result<Vec<TestRow>> {
    predict_test_rows(&candidate.predictor, data, progress).with_context(|| format!("version {}", candidate.version.version))
}

/// Applies the gate to the metrics measured here. Metrics of cross-validation come from the tags of the version.
fn gate(
    pipeline: &PipelineConfig,
    challenger: &PromotionCandidate,
    test_metrics: &[(&str, f64)],
    args: &PromoteArgs,
) -> anyhow::Result<Vec<ThresholdResult>> {
    let tags = challenger.version.tags.iter().filter_map(|(key, value)| Some((key.clone(), value.parse().ok()?)));
    let mut metrics: BTreeMap<String, f64> = tags.collect();
    metrics.extend(test_metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    check_thresholds(&pipeline.package.gate, &metrics)
        .map_err(|message| anyhow::anyhow!("{}: {message}", args.pipeline_config.display()))
}

/// Warns if the champion was trained on another split: some of its training rows may be among the test rows.
fn warn_of_split(champion: &PromotionCandidate, process: &Manifest, progress: &Progress) {
    let split = champion.version.tags.get(SPLIT_TAG);
    if split.is_some_and(|split| !process.settings.hex().starts_with(split.as_str())) {
        progress.warn(format!(
            "version {}, the champion, was trained on rows that `process` cleaned and split with other settings: some of its training \
             rows may be among these test rows, so its metrics may be too good",
            champion.version.version
        ));
    }
}

fn metrics_text(test_metrics: &[(&str, f64)], rows: usize, comparison: Option<&Comparison>) -> String {
    let figures: Vec<String> = test_metrics
        .iter()
        .take(4)
        .map(|(key, value)| format!("{} {}", metric_label(key), format_metric(key, *value)))
        .collect();
    let mut metrics_text = format!("\n          {} on {rows} test rows", figures.join(", "));
    if let Some(comparison) = comparison {
        metrics_text.push_str(&format!("\n          {}", comparison.text));
    }
    metrics_text
}
