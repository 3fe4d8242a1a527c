//! Writes a run down as plain data.

use std::collections::BTreeMap;

use artifact::{DatasetInput, FileEntry, Interval, MetricPoint, RUN_RECORD_VERSION, RunRecord, RunTimes};
use cli::Clock;
use model::Metrics;
use schema::{TEST, TRAIN};
use serde_json::{Value, json};

use crate::{Config, data::Dataset, experiment::Findings};

/// The record of a run. `preprocessor` is the file that made the features, `data` the featured table.
pub(crate) fn record(config: &Config, dataset: &Dataset, findings: &Findings, files: &Files, clock: &Clock) -> RunRecord {
    let mut parameters: BTreeMap<String, Value> =
        config.parameters.named().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    parameters.insert("algorithm".into(), json!(config.algorithm.name()));
    parameters.insert("random_state".into(), json!(config.seed));
    parameters.insert("target_variable".into(), json!(files.target));
    parameters.insert("target_transform".into(), json!(config.section.target_transform.name()));
    parameters.insert("cross_validation_folds".into(), json!(findings.folds.len()));
    parameters.insert("feature_set".into(), json!(config.section.feature_set_in_use().unwrap_or("all")));
    parameters.insert("features".into(), json!(dataset.features.len()));

    let mut metrics = Vec::new();
    let mut point = |key: String, value: f64, step: u32| {
        if value.is_finite() {
            metrics.push(MetricPoint { key, value, step });
        }
    };
    for (prefix, figures) in [("", findings.test), ("train_", findings.train), ("baseline_", findings.baseline)] {
        figures.named().into_iter().for_each(|(name, value)| point(format!("{prefix}{name}"), value, 0));
    }
    for (index, (name, _)) in findings.test.named().into_iter().enumerate() {
        let of = |fold: &Metrics| fold.named()[index].1;
        for (fold, figures) in findings.folds.iter().enumerate() {
            point(format!("cv_{name}"), of(figures), fold as u32 + 1);
        }
        if !findings.folds.is_empty() {
            let mean = findings.folds.iter().map(of).sum::<f64>() / findings.folds.len() as f64;
            point(format!("cv_{name}"), mean, 0);
        }
    }
    let finite = findings.intervals.iter().filter(|interval| interval.low.is_finite());
    let intervals = finite.map(|found| (found.name.to_owned(), Interval { low: found.low, high: found.high })).collect();

    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    tags.insert("algorithm".into(), config.algorithm.name().into());
    tags.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    tags.insert("engine".into(), "smartcore 0.7.0".into());
    tags.insert("preprocessor".into(), files.preprocessor.digest.to_string());
    if let Some(commit) = cli::commit() {
        tags.insert("commit".into(), commit);
    }
    let input = |context: &str, rows: usize| DatasetInput {
        context: context.into(),
        source: files.data.clone(),
        rows: rows as u64,
        schema: files.schema.clone(),
    };
    RunRecord {
        format_version: RUN_RECORD_VERSION,
        name: config.section.name.clone(),
        parameters,
        metrics,
        intervals,
        tags,
        datasets: vec![input(TRAIN, dataset.train.y.len()), input(TEST, dataset.test.y.len())],
        features: dataset.features.clone(),
        artifacts: files.artifacts.clone(),
        warnings: config.warnings.iter().chain(&findings.warnings).cloned().collect(),
        times: RunTimes {
            started_at_ms: clock.started_at_ms,
            ended_at_ms: cli::now_ms(),
            fit_ms: findings.fit_ms,
            cross_validation_ms: findings.cross_validation_ms,
        },
    }
}

/// The files of a run.
pub(crate) struct Files {
    pub(crate) target: String,
    pub(crate) data: FileEntry,
    pub(crate) schema: String,
    pub(crate) preprocessor: FileEntry,
    pub(crate) artifacts: Vec<FileEntry>,
}
