//! Finishes a training that was stopped after its files were written and before their manifests were, so that one training is one run.
//!
//! Before the run is recorded, the manifest is written under a name of its own, as a note. The note is removed once every file has its
//! manifest. The record beside the model holds the id of the run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use artifact::{FileEntry, Manifest, RunRecord, lock_to_write, manifest_path};
use cli::Progress;
use tracking::Tracker;

use crate::{config::Config, inputs::engineer_outputs, stage, tracking::mlflow_run::told};

/// The name beside the model whose manifest is the note.
const NOTE: &str = ".recording";

/// What is to be done with a training that was stopped.
#[derive(Debug)]
pub(crate) enum StoppedTraining {
    /// There was none, or its inputs are not those of now.
    None,
    /// Its run is recorded; its manifests are written now.
    Finished,
    /// Its run is not whole in any store: it is to be recorded under the same id, with the same times.
    Unrecorded(Box<RunRecord>),
}

/// The path of the note in the folder of a trained model.
pub(crate) fn note_path(trained: &Path) -> PathBuf {
    manifest_path(&trained.join(NOTE))
}

/// Writes the note: the files are whole, and their run is about to be recorded.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_note(config: &Config, manifest: &Manifest) -> anyhow::Result<()> {
    Ok(manifest.write_beside(&config.model_file.with_file_name(NOTE))?)
}

/// Removes the note: every file has its manifest.
pub(crate) fn remove_note(config: &Config) {
    // one that stays is found to be of files that are whole
    let _ = fs::remove_file(note_path(trained(config)));
}

/// Finishes the training that was stopped, if there is one of the same inputs and settings.
///
/// # Errors
/// If the folder of models or a manifest cannot be written.
pub(crate) fn finish(config: &Config, progress: &Progress) -> anyhow::Result<StoppedTraining> {
    if !note_path(trained(config)).exists() {
        return Ok(StoppedTraining::None);
    }
    // a training that is recording holds the folder: it is not stopped
    let _locks = lock_to_write(&[trained(config)], &|folder| progress.waiting(folder))?;
    let Some((manifest, record)) = read(config) else { return Ok(StoppedTraining::None) };
    if config.resumed.as_ref().is_some_and(|resumed| *resumed != record.identity.run_id) {
        return Ok(StoppedTraining::None);
    }
    if !Tracker::new(&config.tracking)?.is_recorded(&told(config, &record)) {
        return Ok(StoppedTraining::Unrecorded(Box::new(record)));
    }
    manifest.write_beside_outputs()?;
    remove_note(config);
    progress.warn(format!(
        "the training before was stopped after run {} was recorded; its manifests are written now",
        record.identity.run_name
    ));
    Ok(StoppedTraining::Finished)
}

/// The manifest in the note and the record of its run, if running again would make the same files.
fn read(config: &Config) -> Option<(Manifest, RunRecord)> {
    let manifest = Manifest::read_beside(&config.model_file.with_file_name(NOTE)).ok()??;
    let (engineer, data, preprocessor) = engineer_outputs::given(&config.data).ok()?;
    let inputs: [FileEntry; 3] = [data, preprocessor, engineer_outputs::reference(&engineer).ok()?.0];
    if !stage::is_current(&manifest, config, &inputs) {
        return None;
    }
    let record = RunRecord::parse(&fs::read_to_string(&config.metrics_file).ok()?).ok()?;
    Some((manifest, record))
}

fn trained(config: &Config) -> &Path {
    config.model_file.parent().unwrap_or(Path::new(""))
}
