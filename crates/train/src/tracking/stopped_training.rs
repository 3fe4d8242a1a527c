//! Finishes a training that was stopped after its files were written and before their manifests were, so that one training is one run.
//!
//! Before the run is recorded, the manifest is written under a name of its own, as a note. The note is removed once every file has its
//! manifest. The record beside the model holds the id of the run.

use std::fs;

use artifact::{Manifest, RunRecord, lock_to_write, manifest_path};
use cli::Progress;
use tracking::Tracker;

use crate::{
    config::Config, inputs::engineer_outputs::EngineerOutputs, outputs, run_paths::note_file,
    tracking::mlflow_run::mlflow_run,
};

/// The state of a training that was stopped.
#[derive(Debug)]
pub(crate) enum StoppedTraining {
    /// There was none, or its inputs have changed.
    None,
    /// Its run is recorded, and its manifests are written now.
    Finished,
    /// No store has its run complete: it is recorded again, under the same id and with the same times.
    Unrecorded(Box<RunRecord>),
}

/// Writes the note: the files are complete, and their run is about to be recorded.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_note(config: &Config, manifest: &Manifest) -> anyhow::Result<()> {
    Ok(manifest.write_beside(&note_file(config.trained_folder()))?)
}

/// Removes the note: every file has its manifest.
pub(crate) fn remove_note(config: &Config) {
    // a note that cannot be removed belongs to complete files, which the next training recognises
    let _ = fs::remove_file(manifest_path(&note_file(config.trained_folder())));
}

/// Finishes the training that was stopped, if there is one with the same inputs and settings.
///
/// # Errors
/// If the folder of models or a manifest cannot be written.
pub(crate) fn finish(config: &Config, progress: &Progress) -> anyhow::Result<StoppedTraining> {
    let folder = config.trained_folder();
    if !manifest_path(&note_file(folder)).exists() {
        return Ok(StoppedTraining::None);
    }
    // a training that is still recording holds this lock, and was not stopped
    let _locks = lock_to_write(&[folder], &|folder| progress.waiting(folder))?;
    let Some((manifest, record)) = read(config) else { return Ok(StoppedTraining::None) };
    if config.resumed.as_ref().is_some_and(|resumed| *resumed != record.identity.run_id) {
        return Ok(StoppedTraining::None);
    }
    if !Tracker::new(&config.tracking)?.is_recorded(&mlflow_run(config, &record)) {
        return Ok(StoppedTraining::Unrecorded(Box::new(record)));
    }
    manifest.write_beside_outputs()?;
    remove_note(config);
    progress.warn(format!(
        "the last training was stopped after run {} was recorded; its manifests are written now",
        record.identity.run_name
    ));
    Ok(StoppedTraining::Finished)
}

/// The manifest in the note and the record of its run, if another training would write the same files.
fn read(config: &Config) -> Option<(Manifest, RunRecord)> {
    let manifest = Manifest::read_beside(&note_file(config.trained_folder())).ok()??;
    let engineer = EngineerOutputs::read(&config.data).ok()?;
    let (reference_file, _) = engineer.reference().ok()?;
    if !outputs::is_current(&manifest, config, &[engineer.data, engineer.preprocessor_file, reference_file]) {
        return None;
    }
    let record = RunRecord::parse(&fs::read_to_string(&config.metrics_file).ok()?).ok()?;
    Some((manifest, record))
}
