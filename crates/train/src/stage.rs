//! The stage: checks whether the outputs are current; otherwise reads, fits, writes and records.

use anyhow::ensure;
use artifact::{FileEntry, FolderLocks, Manifest, RunRecord, lock_to_read, lock_to_write};
use cli::{Clock, Outcome, Progress};
use features::Preprocessor;

use crate::{
    config::Config,
    fitting::experiment,
    inputs::{engineer_outputs::EngineerOutputs, featured_table, lineage::InputLineage, stage_inputs::StageInputs},
    outputs,
    summary::summarise,
    tracking::{
        registry, run_record,
        session::{RecordedRun, TrackingSession, catch_up},
        stopped_training::{self, StoppedTraining},
    },
};

/// Runs the stage.
///
/// # Errors
/// If the inputs are not what `engineer` wrote, the configuration does not suit them, or an output cannot be written.
pub fn run(config: &Config, progress: &Progress) -> anyhow::Result<Outcome> {
    let clock = Clock::start();
    let stopped = stopped_training::finish(config, progress)?;
    let is_finished = matches!(stopped, StoppedTraining::Finished);
    let read_locks = lock_to_read(&config.data, &|folder| progress.waiting(folder));
    let engineer = EngineerOutputs::read(&config.data)?;
    let (reference_file, reference) = engineer.reference()?;
    let input_files = [engineer.data.clone(), engineer.preprocessor_file.clone(), reference_file.clone()];
    if (!config.force || is_finished)
        && let Some(record) = current_record(config, &input_files)?
        && !(config.register && registry::version_of(config, &record)?.is_none())
    {
        catch_up(config, progress)?;
        let status = if is_finished { "done" } else { "unchanged" };
        return Ok(summarise(config, status, &record, &RecordedRun::from_record(&record)));
    }
    let preprocessor = engineer.preprocessor()?;
    check_target(config, &preprocessor)?;
    config.warnings.iter().for_each(|warning| progress.warn(warning));

    let inputs = StageInputs {
        data: engineer.data,
        preprocessor_file: engineer.preprocessor_file,
        reference_file,
        preprocessor,
        reference,
        lineage: InputLineage::from_engineer(engineer.manifest),
    };
    let unrecorded = if let StoppedTraining::Unrecorded(record) = stopped { Some(*record) } else { None };
    let opening = run_record::opening(config, inputs.target(), &clock, unrecorded.as_ref());
    let mut session = if unrecorded.is_some() {
        TrackingSession::continue_run(config, opening.clone(), progress)?
    } else {
        TrackingSession::begin(config, opening.clone(), progress)?
    };
    match train(config, &inputs, read_locks, &opening, &mut session, &clock, progress) {
        Ok((record, run)) => Ok(summarise(config, "done", &record, &run)),
        Err(error) => {
            session.fail(&error, progress);
            Err(error)
        }
    }
}

/// Reads the rows, fits the model, writes its files and records the run. The manifests come last: without them the stage runs again.
fn train(
    config: &Config,
    inputs: &StageInputs,
    read_locks: FolderLocks,
    opening: &RunRecord,
    session: &mut TrackingSession,
    clock: &Clock,
    progress: &Progress,
) -> anyhow::Result<(RunRecord, RecordedRun)> {
    let dataset = featured_table::read(config, inputs.target(), progress);
    // the rows are in memory: other programs can write the table again
    drop(read_locks);
    let dataset = dataset?;
    let result = experiment::fit(config, inputs, &dataset, progress)?;
    // another training into the same folder waits here, so that files of two runs are never mixed
    let _locks = lock_to_write(&[config.trained_folder()], &|folder| progress.waiting(folder))?;
    let written = outputs::write(config, inputs, &dataset, &result, opening, clock)?;
    let run = session.end(inputs, &result, &written, progress)?;
    written.manifest.write_beside_outputs()?;
    stopped_training::remove_note(config);
    Ok((written.record, run))
}

/// The record of the last run, if another training would write the same files.
fn current_record(config: &Config, inputs: &[FileEntry]) -> anyhow::Result<Option<RunRecord>> {
    let Some(mut manifest) = Manifest::read_beside(&config.model_file).unwrap_or(None) else { return Ok(None) };
    if !outputs::is_current(&manifest, config, inputs) {
        return Ok(None);
    }
    let Ok(record) = RunRecord::parse(&cli::read_text(&config.metrics_file, "--models-dir")?) else { return Ok(None) };
    manifest.refresh_configs(&config.config_files())?;
    Ok(Some(record))
}

/// Checks that the configured target, if there is one, is that of the table.
fn check_target(config: &Config, preprocessor: &Preprocessor) -> anyhow::Result<()> {
    let target = &preprocessor.schema().target().name;
    ensure!(
        config.section.target_variable.as_ref().is_none_or(|configured| configured == target),
        "{}: model.target_variable: \"{}\" is not the target of this table, which is \"{target}\"",
        config.config_path.display(),
        config.section.target_variable.as_deref().unwrap_or_default()
    );
    Ok(())
}
