//! The stage as a whole: up to date? else read, fit, measure, commit, record.

use std::{collections::BTreeMap, path::Path};

use anyhow::ensure;
use artifact::{
    FileEntry, FolderLocks, MANIFEST_VERSION, Manifest, RunRecord, lock_to_read, lock_to_write, write_atomically,
    write_envelope,
};
use cli::{Clock, Outcome, Progress};
use drift::{NumberReference, Reference};
use features::Preprocessor;
use model::{MODEL, Model, ModelFile, figure, label};
use serde::Serialize;

use crate::{
    config::Config,
    fitting::experiment::{Findings, experiment},
    inputs::{
        engineer_outputs,
        featured_table::{Dataset, read},
        lineage::Lineage,
    },
    report::{page, plots},
    tracking::{
        logged_model::{self, Made},
        mlflow_run::told,
        registry,
        run_record::{Inputs, RunFiles, finished, opening},
        session::{Found, TrackedRun, catch_up},
        stopped_training::{self, StoppedTraining},
    },
};

const STAGE: &str = "train";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    model: &'a Path,
    report: &'a Path,
    metrics: BTreeMap<&'a str, f64>,
    intervals: &'a BTreeMap<String, artifact::Interval>,
    warnings: &'a [String],
    run: &'a Found,
}

/// What `engineer` left for this stage, checked.
struct Given {
    data: FileEntry,
    preprocessor: FileEntry,
    reference: (FileEntry, Reference),
    checked: Preprocessor,
    lineage: Lineage,
}

/// Runs the stage.
///
/// # Errors
/// If the inputs are not what `engineer` wrote, the configuration does not fit them, or nothing can be written.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let stopped = stopped_training::finish(config, progress)?;
    let is_finished = matches!(stopped, StoppedTraining::Finished);
    let reading = lock_to_read(&config.data, &|folder| progress.waiting(folder));
    let (engineer, data, preprocessor) = engineer_outputs::given(&config.data)?;
    let reference = engineer_outputs::reference(&engineer)?;
    if (!config.force || is_finished)
        && let Some(record) = unchanged(config, &[data.clone(), preprocessor.clone(), reference.0.clone()])?
        && !(config.register && registry::version_of(config, &record)?.is_none())
    {
        catch_up(config, progress)?;
        let status = if is_finished { "done" } else { "unchanged" };
        return Ok(summarise(config, status, &record, &Found::of(&record)));
    }
    let checked = engineer_outputs::open(&preprocessor)?;
    let target = &checked.schema().target().name;
    ensure!(
        config.section.target_variable.as_ref().is_none_or(|named| named == target),
        "{}: model.target_variable: \"{}\" is not the target of this table, which is \"{target}\"",
        config.config_path.display(),
        config.section.target_variable.as_deref().unwrap_or_default()
    );
    config.warnings.iter().for_each(|warning| progress.warn(warning));

    let repeated = if let StoppedTraining::Unrecorded(record) = stopped { Some(*record) } else { None };
    let opening = opening(config, target, &clock, repeated.as_ref());
    let mut run = if repeated.is_some() {
        TrackedRun::repeat(config, opening.clone(), progress)?
    } else {
        TrackedRun::begin(config, opening.clone(), progress)?
    };
    let given = Given { data, preprocessor, reference, lineage: Lineage::of(engineer), checked };
    let done = read_dataset(config, &given, reading, progress)
        .and_then(|dataset| fit_and_write(config, &given, &dataset, opening, &mut run, &clock, progress));
    match done {
        Ok((record, found)) => Ok(summarise(config, "done", &record, &found)),
        Err(error) => {
            run.fail(&error, progress);
            Err(error)
        }
    }
}

/// The record of the run before, if running again could change nothing.
fn unchanged(config: &Config, inputs: &[FileEntry]) -> anyhow::Result<Option<RunRecord>> {
    let Some(mut manifest) = Manifest::read_beside(&config.model_file).unwrap_or(None) else { return Ok(None) };
    if !is_current(&manifest, config, inputs) {
        return Ok(None);
    }
    let Ok(record) = RunRecord::parse(&cli::read_text(&config.metrics_file, "--models-dir")?) else { return Ok(None) };
    manifest.refresh_configs(&config.config_files())?;
    Ok(Some(record))
}

/// Whether training again on `inputs` could change nothing of what the manifest names.
pub(crate) fn is_current(manifest: &Manifest, config: &Config, inputs: &[FileEntry]) -> bool {
    let outputs =
        [&config.model_file, &config.metrics_file, &config.predictions_file, &config.page_file, &config.reference_file]
            .map(Clone::clone);
    manifest.is_current(STAGE, VERSION, &config.settings, inputs, &outputs)
}

/// The featured table; nobody has to wait for its folder from then on.
fn read_dataset(config: &Config, given: &Given, reading: FolderLocks, progress: &Progress) -> anyhow::Result<Dataset> {
    let dataset = read(config, &given.checked.schema().target().name, progress);
    drop(reading);
    dataset
}

/// From the featured table to the files of the run and its place in the store. The manifests come last: without them the stage
/// runs again.
fn fit_and_write(
    config: &Config,
    given: &Given,
    dataset: &Dataset,
    opening: RunRecord,
    run: &mut TrackedRun,
    clock: &Clock,
    progress: &Progress,
) -> anyhow::Result<(RunRecord, Found)> {
    let Given { data, preprocessor, reference, checked, lineage } = given;
    let target = checked.schema().target().name.clone();
    let findings = experiment(config, dataset, checked, progress)?;
    findings.warnings.iter().for_each(|warning| progress.warn(warning));
    let schema = checked.schema().fingerprint();
    let model = Model::check(ModelFile {
        name: config.section.name.clone(),
        algorithm: config.algorithm.name().into(),
        target: target.clone(),
        target_transform: config.parameters.remaining_transform(config.section.target_transform),
        features: dataset.features.clone(),
        preprocessor: preprocessor.digest.hex().to_owned(),
        schema: schema.clone(),
        seed: config.seed,
        train_rows: dataset.train.y.len() as u64,
        regressor: findings.regressor.clone(),
        means: findings.means.clone(),
        interval: findings.interval.clone(),
    })?;
    let trained = config.model_file.parent().unwrap_or(Path::new(""));
    let inputs = Inputs {
        target,
        data: FileEntry { path: artifact::relative_path(&data.path, trained), ..data.clone() },
        schema: schema.clone(),
        preprocessor: preprocessor.clone(),
    };
    let recorded_times = Some(opening.times.clone()).filter(|times| times.ended_at_ms > 0);
    let mut record = finished(opening, config, dataset, &findings, &inputs);
    let page = page::render(&record, dataset, &findings, checked, lineage);
    // another training into the same folder waits here, so that files of two runs are never mixed
    let _locks = lock_to_write(&[trained], &|folder| progress.waiting(folder))?;
    let model_file = write_envelope(&config.model_file, MODEL.into(), model.file())?;
    let predictions = predictions(&dataset.test.y, &findings);
    let predictions_file = write_atomically(&config.predictions_file, predictions.as_bytes())?;
    let page_file = write_atomically(&config.page_file, page.as_bytes())?;
    let prediction = NumberReference::of(&findings.train_predictions);
    let found = Reference { prediction, ..reference.1.clone() };
    let reference_file = write_atomically(&config.reference_file, found.render().as_bytes())?;
    let mut files =
        RunFiles::new(config, [&model_file, &predictions_file, &page_file, &reference_file], preprocessor, lineage)?;
    files.extend(plots::files(dataset, &findings, &inputs.target));
    record.artifacts = files.entries(trained);
    record.times.ended_at_ms = cli::now_ms();
    // what a store has of the run already is then the same
    record.times = recorded_times.unwrap_or(record.times);
    let mut text = serde_json::to_string_pretty(&record)?;
    text.push('\n');
    let metrics_file = write_atomically(&config.metrics_file, text.as_bytes())?;
    let rows = [("train", dataset.train.y.len()), ("test", dataset.test.y.len()), ("features", dataset.features.len())];
    let manifest = Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: record.identity.commit.clone(),
        schema,
        settings: config.settings.clone(),
        configs: config.config_files(),
        inputs: vec![data.clone(), preprocessor.clone(), reference.0.clone()],
        outputs: vec![model_file, metrics_file.clone(), predictions_file, page_file, reference_file.clone()],
        rows: rows.map(|(name, count)| (name.to_owned(), count as u64)).into(),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    };
    let mut files = files.complete(&metrics_file, &manifest)?;
    // in a store the table is named from anywhere, in the record beside the model from there
    let mut stored = record.clone();
    let whole = std::path::absolute(&data.path).unwrap_or_else(|_| data.path.clone());
    stored.datasets.iter_mut().for_each(|input| input.source.path.clone_from(&whole));
    let mut told = told(config, &stored);
    told.tag_tables(files.iter().map(|file| file.artifact_path.as_str()).filter(|path| path.starts_with("tables/")));
    let made = Made {
        model: &model,
        preprocessor: checked,
        model_file: &manifest.outputs[0],
        preprocessor_file: preprocessor,
        reference_file: &reference_file,
        lineage,
    };
    let (of_model, warning) = logged_model::add(config, &mut told, &stored, &made);
    // whoever registers a model means others to load it
    let say = |warning: String| if config.register { progress.warn(warning) } else { progress.detail(warning) };
    warning.into_iter().for_each(say);
    files.extend(of_model);
    stopped_training::write_note(config, &manifest)?;
    let found = run.end(&told, &files, progress);
    manifest.write_beside_outputs()?;
    stopped_training::remove_note(config);
    Ok((record, found))
}

/// The test rows, in the order of the featured table: what was and what was predicted.
fn predictions(y_true: &[f64], findings: &Findings) -> String {
    let mut text = String::from("y_true,y_pred\n");
    for (y_true, y_pred) in y_true.iter().zip(&findings.predictions) {
        text.push_str(&format!("{y_true},{y_pred}\n"));
    }
    text
}

fn summarise(config: &Config, status: &'static str, record: &RunRecord, run: &Found) -> Outcome {
    let finals = record.metrics.iter().filter(|point| point.step == 0);
    let metrics: BTreeMap<&str, f64> = finals.map(|point| (point.key.as_str(), point.value)).collect();
    let data = Summary {
        stage: STAGE,
        status,
        model: &config.model_file,
        report: &config.page_file,
        metrics: metrics.clone(),
        intervals: &record.intervals,
        warnings: &record.warnings,
        run,
    };
    let rows = |context: &str| record.rows(context);
    let mut human = format!(
        "train     {status}: {} on {} rows of {} features, measured on {} test rows\n",
        config.algorithm.name(),
        rows(schema::TRAIN),
        record.features.len(),
        rows(schema::TEST)
    );
    for key in ["r2", "mae", "rmse", "mape", "median_ae"] {
        let (Some(value), Some(interval)) = (metrics.get(key), record.intervals.get(key)) else { continue };
        let validated = metrics
            .get(format!("cv_{key}").as_str())
            .map_or(String::new(), |value| format!("   cross-validated {}", figure(key, *value)));
        human.push_str(&format!(
            "          {:<13}{:>12}   95 % interval {} to {}{validated}\n",
            label(key),
            figure(key, *value),
            figure(key, interval.low),
            figure(key, interval.high)
        ));
    }
    human.push_str(&format!("          → {} and report.html", config.model_file.display()));
    if status == "unchanged" {
        human.push_str(&format!(", run {} of before (--force trains and records anew)", run.run_name));
    }
    if let Some(store) = &run.store {
        // a file as the user named it, a server as it is
        let place = if run.unsent.is_some() { tracking::Location::default() } else { config.tracking.location.clone() };
        let place = if store.starts_with("sqlite:") { place.to_string() } else { store.clone() };
        human.push_str(&format!(", run {} in {place}", run.run_name));
    }
    if let Some(version) = &run.version {
        human.push_str(&format!("\n          → version {version} of {}, alias challenger", record.name));
    }
    if let Some(page) = &run.page {
        human.push_str(&format!("\n          → {page}"));
    }
    Outcome::done(&data, human)
}
