//! Writes the files of a training, and says whether they are current.

use artifact::{FileEntry, MANIFEST_VERSION, Manifest, RunRecord, RunTimes, write_atomically, write_envelope};
use cli::Clock;
use drift::{NumberReference, Reference};
use model::MODEL;
use tracking::RunFile;

use crate::{
    config::Config,
    fitting::training_result::TrainingResult,
    inputs::{featured_table::Dataset, stage_inputs::StageInputs},
    report::{page, plots},
    tracking::run_record::{self, RunFiles},
};

/// The name of the stage in manifests and summaries.
pub(crate) const STAGE: &str = "train";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The files of a training on the disk, and what describes them.
pub(crate) struct WrittenFiles {
    /// The content of `metrics.json`.
    pub(crate) record: RunRecord,
    /// The manifest of all files. It is written beside them when the run is recorded.
    pub(crate) manifest: Manifest,
    pub(crate) model_file: FileEntry,
    pub(crate) reference_file: FileEntry,
    /// The files of the run for its store.
    pub(crate) run_files: Vec<RunFile>,
}

/// Whether another training on `inputs` would write the files that the manifest names.
pub(crate) fn is_current(manifest: &Manifest, config: &Config, inputs: &[FileEntry]) -> bool {
    let outputs =
        [&config.model_file, &config.metrics_file, &config.predictions_file, &config.page_file, &config.reference_file]
            .map(Clone::clone);
    manifest.is_current(STAGE, VERSION, &config.settings, inputs, &outputs)
}

/// Writes the model, the record and the other files of the training; `opening` is the record of the run as it began.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(
    config: &Config,
    inputs: &StageInputs,
    dataset: &Dataset,
    result: &TrainingResult,
    opening: &RunRecord,
    clock: &Clock,
) -> anyhow::Result<WrittenFiles> {
    let record = run_record::finished(opening, config, inputs, dataset, result);
    let page = page::render(&record, dataset, result, inputs);
    let reference =
        Reference { prediction: NumberReference::from_values(&result.train_predictions), ..inputs.reference.clone() };
    let model_file = write_envelope(&config.model_file, MODEL.into(), result.model.file())?;
    let predictions_file = write_atomically(&config.predictions_file, predictions_csv(dataset, result).as_bytes())?;
    let page_file = write_atomically(&config.page_file, page.as_bytes())?;
    let reference_file = write_atomically(&config.reference_file, reference.render().as_bytes())?;
    let mut run_files = RunFiles::new(
        config,
        [&model_file, &predictions_file, &page_file, &reference_file],
        &inputs.preprocessor_file,
        &inputs.lineage,
    )?;
    run_files.extend(plots::files(dataset, result, inputs.target()));
    // a run that is recorded again keeps its times, so that it is the same as the one in the store
    let times = if opening.times.ended_at_ms > 0 {
        opening.times.clone()
    } else {
        RunTimes { ended_at_ms: cli::now_ms(), ..record.times.clone() }
    };
    let record = RunRecord { artifacts: run_files.entries(config.trained_folder()), times, ..record };
    let mut text = serde_json::to_string_pretty(&record)?;
    text.push('\n');
    let metrics_file = write_atomically(&config.metrics_file, text.as_bytes())?;
    let rows = [("train", dataset.train.y.len()), ("test", dataset.test.y.len()), ("features", dataset.features.len())];
    let manifest = Manifest {
        format_version: MANIFEST_VERSION,
        stage: STAGE.into(),
        version: VERSION.into(),
        commit: record.identity.commit.clone(),
        schema: inputs.schema(),
        settings: config.settings.clone(),
        configs: config.config_files(),
        inputs: inputs.files().into(),
        outputs: vec![model_file.clone(), metrics_file.clone(), predictions_file, page_file, reference_file.clone()],
        rows: rows.map(|(name, count)| (name.to_owned(), count as u64)).into(),
        started_at_ms: clock.started_at_ms,
        duration_ms: clock.elapsed_ms(),
    };
    let run_files = run_files.complete(&metrics_file, &manifest)?;
    Ok(WrittenFiles { record, manifest, model_file, reference_file, run_files })
}

/// Target and prediction of the test rows, in the order of the featured table.
fn predictions_csv(dataset: &Dataset, result: &TrainingResult) -> String {
    let mut text = String::from("y_true,y_pred\n");
    for (y_true, y_pred) in dataset.test.y.iter().zip(&result.test_predictions) {
        text.push_str(&format!("{y_true},{y_pred}\n"));
    }
    text
}
