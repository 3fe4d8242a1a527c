//! The record of a run: a plain description of everything that was configured and measured.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use anyhow::Context;
use artifact::{
    ColumnImportance, DatasetInput, FileEntry, Interval, LeakageRecord, Manifest, MetricPoint, RUN_RECORD_VERSION,
    RunArtifact, RunIdentity, RunRecord, RunStatus, RunTimes,
};
use cli::Clock;
use model::{Metrics, Parameters, format_metric};
use schema::{TEST, TRAIN};
use serde_json::{Value, json};
use tracking::{ArtifactContent, RunFile};

use crate::{
    config::Config,
    fitting::{interval_coverage, training_result::TrainingResult},
    inputs::{featured_table::Dataset, lineage::InputLineage, stage_inputs::StageInputs},
};

/// The record of the run as it begins. A run that is `repeated` because it was not recorded keeps its id and its times.
pub(crate) fn opening(config: &Config, target: &str, clock: &Clock, repeated: Option<&RunRecord>) -> RunRecord {
    let mut parameters: BTreeMap<String, Value> = config.parameters.named(None).into_iter().collect();
    parameters.insert("algorithm".into(), json!(config.algorithm.name()));
    parameters.insert("random_state".into(), json!(config.seed));
    parameters.insert("target_variable".into(), json!(target));
    parameters.insert("target_transform".into(), json!(config.section.target_transform.name()));
    parameters.insert("feature_set".into(), json!(config.section.feature_set_in_use().unwrap_or("all")));
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    tags.insert("algorithm".into(), config.algorithm.name().into());
    tags.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    tags.insert("engine".into(), engine(&config.parameters).into());
    let commit = cli::commit();
    if let Some(commit) = &commit {
        tags.insert("commit".into(), commit.clone());
    }
    let existing_id = config.resumed.clone().or_else(|| Some(repeated?.identity.run_id.clone()));
    let run_id = existing_id.unwrap_or_else(tracking::new_run_id);
    let times = RunTimes { started_at_ms: clock.started_at_ms, ..RunTimes::default() };
    RunRecord {
        format_version: RUN_RECORD_VERSION,
        identity: RunIdentity {
            run_name: format!("{}-{}", config.algorithm.name(), &run_id[..8]),
            run_id,
            user: cli::user(),
            source: "train".into(),
            commit,
            branch: cli::branch(),
        },
        status: RunStatus::Running,
        name: config.section.name.clone(),
        parameters,
        tags,
        warnings: config.warnings.clone(),
        times: repeated.map_or(times, |record| record.times.clone()),
        ..RunRecord::default()
    }
}

/// The library that fits a model with these parameters.
fn engine(parameters: &Parameters) -> &'static str {
    match parameters {
        Parameters::Forest(_) | Parameters::Boosting(_) => concat!("boosting ", env!("CARGO_PKG_VERSION")),
        Parameters::Blend(_) => concat!("boosting ", env!("CARGO_PKG_VERSION"), ", smartcore 0.7.0"),
        Parameters::Imported(imported) => imported.source,
        _ => "smartcore 0.7.0",
    }
}

/// The record of the finished run, without its artifacts and without the time of its end.
pub(crate) fn finished(
    opening: &RunRecord,
    config: &Config,
    inputs: &StageInputs,
    dataset: &Dataset,
    result: &TrainingResult,
) -> RunRecord {
    let mut record = opening.clone();
    // including the parameters whose defaults depend on the size of the table
    record.parameters.extend(config.parameters.named(Some(dataset.train.y.len())));
    record.status = RunStatus::Finished;
    record.parameters.insert("cross_validation_folds".into(), json!(result.folds.len()));
    record.parameters.insert("features".into(), json!(dataset.features.len()));
    if !result.curve.points.is_empty() {
        record.parameters.insert("learning_curve_over".into(), json!(result.curve.over));
    }
    record.tags.insert("preprocessor".into(), inputs.preprocessor_file.digest.to_string());
    record.metrics = metrics(result);
    if let Some(found) = interval_coverage::overall(dataset, result) {
        record.parameters.insert("interval_coverage_asked".into(), json!(config.section.intervals.coverage));
        let point = |key: &str, value: f64| MetricPoint { key: key.into(), value, step: 0 };
        record.metrics.extend([point("interval_coverage", found.share), point("interval_width", found.width)]);
    }
    let finite = result.metric_intervals.iter().filter(|interval| interval.low.is_finite());
    record.intervals =
        finite.map(|interval| (interval.name.to_owned(), Interval { low: interval.low, high: interval.high })).collect();
    let columns: Vec<String> = dataset.features.iter().cloned().chain([inputs.target().to_owned()]).collect();
    let path = artifact::relative_path(&inputs.data.path, config.trained_folder());
    let source = FileEntry { path, ..inputs.data.clone() };
    let input = |context: &str, rows: usize| DatasetInput {
        context: context.into(),
        source: source.clone(),
        rows: rows as u64,
        schema: inputs.schema(),
        columns: columns.clone(),
    };
    record.datasets = vec![input(TRAIN, dataset.train.y.len()), input(TEST, dataset.test.y.len())];
    record.features.clone_from(&dataset.features);
    record.importances = result
        .importances
        .iter()
        .map(|(column, found)| ColumnImportance { column: column.clone(), mean: found.mean, deviation: found.deviation })
        .collect();
    record.suspicions = result
        .leakage_findings
        .iter()
        .map(|finding| LeakageRecord { subject: finding.subject.clone(), value: finding.value, text: finding.text.clone() })
        .collect();
    record.warnings.extend(result.warnings.iter().cloned());
    record.times.fit_ms = result.fit_ms;
    record.times.cross_validation_ms = result.cross_validation_ms;
    record.note = note(&record);
    record
}

fn metrics(result: &TrainingResult) -> Vec<MetricPoint> {
    let mut metrics = Vec::new();
    let mut point = |key: String, value: f64, step: u32| {
        if value.is_finite() {
            metrics.push(MetricPoint { key, value, step });
        }
    };
    let finals = [
        ("", result.test),
        ("train_", result.train),
        ("baseline_", result.mean_baseline),
        ("baseline_median_", result.median_baseline),
    ];
    for (prefix, metrics_of_rows) in finals {
        metrics_of_rows.named().into_iter().for_each(|(name, value)| point(format!("{prefix}{name}"), value, 0));
    }
    for (index, (name, _)) in result.test.named().into_iter().enumerate() {
        let of = |fold: &Metrics| fold.named()[index].1;
        // a key of their own: MLflow shows the point with the highest step, which would be the last fold
        for (fold, metrics_of_rows) in result.folds.iter().enumerate() {
            point(format!("fold/{name}"), of(metrics_of_rows), fold as u32 + 1);
        }
        if !result.folds.is_empty() {
            let mean = result.folds.iter().map(of).sum::<f64>() / result.folds.len() as f64;
            point(format!("cv_{name}"), mean, 0);
        }
    }
    for curve in &result.curve.points {
        point("learning_curve/train_rmse".into(), curve.train_rmse, curve.step);
        point("learning_curve/validation_rmse".into(), curve.validation_rmse, curve.step);
    }
    metrics
}

/// The summary of the run in Markdown.
fn note(record: &RunRecord) -> String {
    let mut note = String::from(
        "| metric | test rows | 95 % interval | cross-validated | mean baseline | median baseline |\n|---|---|---|---|---|---|\n",
    );
    for name in model::METRIC_NAMES {
        let of = |key: String| record.metric(&key).map_or("–".to_owned(), |value| format_metric(name, value));
        let interval = record.intervals.get(name).map_or("–".to_owned(), |interval| {
            format!("{} to {}", format_metric(name, interval.low), format_metric(name, interval.high))
        });
        let _ = writeln!(
            note,
            "| {name} | {} | {interval} | {} | {} | {} |",
            of(name.into()),
            of(format!("cv_{name}")),
            of(format!("baseline_{name}")),
            of(format!("baseline_median_{name}"))
        );
    }
    let rows: Vec<String> = record.datasets.iter().map(|input| format!("{} {} rows", input.rows, input.context)).collect();
    let _ = write!(
        note,
        "\n{}, {} features. The artifact `reports/report.html` shows predicted against actual values, residuals, feature importances \
         and the rows with the largest errors.\n",
        rows.join(", "),
        record.features.len()
    );
    for warning in &record.warnings {
        let _ = write!(note, "\n> {warning}\n");
    }
    note
}

/// The files of a run by the paths of their artifacts. The record does not list `metrics.json`, which holds it, and the manifest of
/// `train`.
pub(crate) struct RunFiles {
    files: Vec<RunFile>,
}

impl RunFiles {
    /// The files that exist before the record; `written` are the model, the predictions, the page and the reference of drift.
    pub(crate) fn new(
        config: &Config,
        written: [&FileEntry; 4],
        preprocessor: &FileEntry,
        lineage: &InputLineage,
    ) -> anyhow::Result<Self> {
        let mut files = Self { files: Vec::new() };
        let [model, predictions, page, reference] = written;
        files.add("model/model.bin", model);
        files.add("model/preprocessor.bin", preprocessor);
        files.add("model/reference.json", reference);
        files.add("predictions.csv", predictions);
        files.add("reports/report.html", page);
        files.add("configs/model_config.yaml", &config.config_file);
        if let Some(import) = &config.import {
            let name = import.path.file_name().unwrap_or_default().to_string_lossy();
            files.add(&format!("import/{name}"), import);
        }
        if let Some(pipeline) = lineage.pipeline_config() {
            files.add("configs/pipeline.yaml", &pipeline);
        }
        if let Some(page) = lineage.process_page() {
            files.add("reports/process.report.html", &page);
        }
        lineage.manifests().try_for_each(|manifest| files.add_manifest(manifest))?;
        Ok(files)
    }

    /// Adds files that are not on the disk.
    pub(crate) fn extend(&mut self, files: Vec<RunFile>) {
        self.files.extend(files);
    }

    /// The entries of a record in `folder`.
    pub(crate) fn entries(&self, folder: &Path) -> Vec<RunArtifact> {
        self.files.iter().map(|file| file.entry(folder)).collect()
    }

    /// Adds the record and the manifest of `train`, and returns all files.
    pub(crate) fn complete(mut self, record: &FileEntry, manifest: &Manifest) -> anyhow::Result<Vec<RunFile>> {
        self.add("metrics.json", record);
        self.add_manifest(manifest)?;
        Ok(self.files)
    }

    fn add(&mut self, place: &str, file: &FileEntry) {
        self.files.push(RunFile::of_run(place, ArtifactContent::File(file.clone())));
    }

    /// Adds the manifest as it is stored beside the main output of its stage.
    fn add_manifest(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let main = manifest.outputs.first().context("a manifest without outputs")?;
        let text = manifest.render_beside(&main.path)?;
        let place = format!("manifests/{}.manifest.json", manifest.stage);
        self.files.push(RunFile::of_run(place, ArtifactContent::Bytes(text.into_bytes())));
        Ok(())
    }
}
