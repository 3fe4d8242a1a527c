//! The stage as a whole: up to date? else read, fit, measure, commit.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use artifact::{
    FileEntry, MANIFEST_VERSION, Manifest, RunRecord, check_input, read_envelope, write_atomically, write_envelope,
};
use cli::{Clock, Outcome, Progress};
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};
use model::{MODEL, Model, ModelFile};
use serde::Serialize;

use crate::{
    Config,
    data::read,
    experiment::{Findings, experiment},
    record::{Files, record},
};

const STAGE: &str = "train";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    model: &'a std::path::Path,
    metrics: BTreeMap<&'a str, f64>,
    intervals: &'a BTreeMap<String, artifact::Interval>,
    warnings: &'a [String],
}

/// Runs the stage.
///
/// # Errors
/// If the inputs are not what `engineer` wrote, the configuration does not fit them, or nothing can be written.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let (engineer, data) = check_input(&config.data, "engineer")?;
    let preprocessor = engineer.output_beside(&config.data).context("the manifest names no preprocessor")?.path.clone();
    let (_, preprocessor) = check_input(&preprocessor, "engineer")?;
    if !config.force
        && let Some(mut manifest) = Manifest::read_beside(&config.model_file).unwrap_or(None)
    {
        let outputs = [&config.model_file, &config.metrics_file, &config.predictions_file].map(Clone::clone);
        let inputs = [data.clone(), preprocessor.clone()];
        if manifest.is_current(STAGE, VERSION, &config.settings, &inputs, &outputs)
            && let Ok(record) = serde_json::from_str(&cli::read_text(&config.metrics_file, "--models-dir")?)
        {
            manifest.refresh_configs(std::slice::from_ref(&config.config_file))?;
            return Ok(summarise(config, "unchanged", &record));
        }
    }
    let file: PreprocessorFile = read_envelope(&preprocessor.path, PREPROCESSOR.into(), "Run `engineer` to write it")?;
    let checked = Preprocessor::check(file).with_context(|| format!("{}", preprocessor.path.display()))?;
    let target = checked.schema().target().name.clone();
    ensure!(
        config.section.target_variable.as_ref().is_none_or(|named| *named == target),
        "{}: model.target_variable: \"{}\" is not the target of this table, which is \"{target}\"",
        config.config_path.display(),
        config.section.target_variable.as_deref().unwrap_or_default()
    );
    config.warnings.iter().for_each(|warning| progress.warn(warning));

    let dataset = read(config, &target, progress)?;
    let findings = experiment(config, &dataset, progress)?;
    findings.warnings.iter().for_each(|warning| progress.warn(warning));
    let model = Model::check(ModelFile {
        name: config.section.name.clone(),
        algorithm: config.algorithm.name().into(),
        target: target.clone(),
        target_transform: config.section.target_transform,
        features: dataset.features.clone(),
        preprocessor: preprocessor.digest.hex().to_owned(),
        schema: checked.schema().fingerprint(),
        seed: config.seed,
        train_rows: dataset.train.y.len() as u64,
        regressor: findings.regressor.clone(),
    })?;
    let model_entry = write_envelope(&config.model_file, MODEL.into(), model.file())?;
    let predictions_entry = write_atomically(&config.predictions_file, predictions(&dataset.test.y, &findings).as_bytes())?;
    let trained = config.model_file.parent().unwrap_or(std::path::Path::new(""));
    let files = Files {
        target,
        data: relative(&data, trained),
        schema: checked.schema().fingerprint(),
        preprocessor: preprocessor.clone(),
        artifacts: [&model_entry, &predictions_entry, &preprocessor].map(|entry| relative(entry, trained)).into(),
    };
    let record = record(config, &dataset, &findings, &files, &clock);
    let mut text = serde_json::to_string_pretty(&record)?;
    text.push('\n');
    let metrics_entry = write_atomically(&config.metrics_file, text.as_bytes())?;
    let rows = [("train", dataset.train.y.len()), ("test", dataset.test.y.len()), ("features", dataset.features.len())];
    Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: cli::commit(),
        schema: checked.schema().fingerprint(),
        settings: config.settings.clone(),
        configs: vec![config.config_file.clone()],
        inputs: vec![data, preprocessor],
        outputs: vec![model_entry, metrics_entry, predictions_entry],
        rows: rows.map(|(name, count)| (name.to_owned(), count as u64)).into(),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    }
    .write_beside_outputs()?;
    Ok(summarise(config, "done", &record))
}

/// The test rows, in the order of the featured table: what was and what was predicted.
fn predictions(y_true: &[f64], findings: &Findings) -> String {
    let mut text = String::from("y_true,y_pred\n");
    for (y_true, y_pred) in y_true.iter().zip(&findings.predictions) {
        text.push_str(&format!("{y_true},{y_pred}\n"));
    }
    text
}

fn summarise(config: &Config, status: &'static str, record: &RunRecord) -> Outcome {
    let finals = record.metrics.iter().filter(|point| point.step == 0);
    let metrics: BTreeMap<&str, f64> = finals.map(|point| (point.key.as_str(), point.value)).collect();
    let data = Summary {
        stage: STAGE,
        status,
        model: &config.model_file,
        metrics: metrics.clone(),
        intervals: &record.intervals,
        warnings: &record.warnings,
    };
    let rows = |context: &str| record.datasets.iter().find(|input| input.context == context).map_or(0, |input| input.rows);
    let mut human = format!(
        "train     {status}: {} on {} rows of {} features, measured on {} test rows\n",
        config.algorithm.name(),
        rows(schema::TRAIN),
        record.features.len(),
        rows(schema::TEST)
    );
    for (key, label) in [("r2", "R²"), ("mae", "MAE"), ("rmse", "RMSE"), ("mape", "MAPE"), ("median_ae", "median error")] {
        let (Some(value), Some(interval)) = (metrics.get(key), record.intervals.get(key)) else { continue };
        let validated = metrics
            .get(format!("cv_{key}").as_str())
            .map_or(String::new(), |value| format!("   cross-validated {}", figure(key, *value)));
        human.push_str(&format!(
            "          {label:<13}{:>12}   95 % interval {} to {}{validated}\n",
            figure(key, *value),
            figure(key, interval.low),
            figure(key, interval.high)
        ));
    }
    human.push_str(&format!("          → {}", config.model_file.display()));
    Outcome::done(&data, human)
}

fn figure(key: &str, value: f64) -> String {
    match key {
        "r2" => format!("{value:.4}"),
        "mape" => format!("{:.2} %", value * 100.0),
        _ if value.abs() >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.4}"),
    }
}

/// The entry of a file as seen from `folder`.
fn relative(entry: &FileEntry, folder: &std::path::Path) -> FileEntry {
    FileEntry { path: artifact::relative_path(&entry.path, folder), ..entry.clone() }
}
