//! Records the run of a training: it begins beside the work, and ends with the files or with an error.

use std::path::PathBuf;

use artifact::{RunRecord, RunStatus};
use cli::Progress;
use serde::Serialize;
use tracking::{ActiveRun, RecordOutcome, Run, RunFile, Tracker, WarningSink};

use crate::{
    config::Config,
    fitting::training_result::TrainingResult,
    inputs::stage_inputs::StageInputs,
    outputs::WrittenFiles,
    tracking::{
        location::warning_sink,
        logged_model::{self, TrainedArtifacts},
        mlflow_run::{mlflow_run, with_absolute_source},
        stopped_training,
    },
};

/// Delivers waiting runs and marks orphaned ones, where there is no run to record.
///
/// # Errors
/// If an address or a setting of the store cannot be used.
pub(crate) fn catch_up(config: &Config, progress: &Progress) -> anyhow::Result<()> {
    let warnings = Tracker::new(&config.tracking)?.catch_up();
    warnings.into_iter().for_each(|warning| progress.warn(warning));
    Ok(())
}

/// A run that is being recorded.
pub(crate) struct TrackingSession<'a> {
    tracker: Tracker,
    config: &'a Config,
    opening: RunRecord,
    /// `None` once the run is recorded.
    active_run: Option<ActiveRun>,
    is_over: bool,
    warn: WarningSink,
}

/// Where a recorded run is.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RecordedRun {
    /// Its id in the store.
    pub(crate) run_id: String,
    pub(crate) run_name: String,
    /// The address of the store that holds the run.
    pub(crate) store: Option<String>,
    pub(crate) experiment_id: Option<String>,
    /// A page that shows it.
    pub(crate) page: Option<String>,
    /// The server that failed, to which `train sync` can send the run.
    pub(crate) unsent: Option<String>,
    /// The folder where the run waits for its store.
    pub(crate) waiting: Option<PathBuf>,
    /// The version that was registered.
    pub(crate) version: Option<String>,
    /// How long the training waited for the run to be recorded, milliseconds.
    pub(crate) recording_ms: Option<f64>,
}

impl RecordedRun {
    /// The run of an earlier training.
    pub(crate) fn from_record(record: &RunRecord) -> Self {
        Self { run_id: record.identity.run_id.clone(), run_name: record.identity.run_name.clone(), ..Self::default() }
    }
}

impl<'a> TrackingSession<'a> {
    /// Begins a new run in the store, in the background.
    ///
    /// # Errors
    /// If an address or a setting of the store cannot be used.
    pub(crate) fn begin(config: &'a Config, opening: RunRecord, progress: &Progress) -> anyhow::Result<Self> {
        Self::start(config, opening, progress, Tracker::begin)
    }

    /// Continues a run that a store may hold in part.
    ///
    /// # Errors
    /// If an address or a setting of the store cannot be used.
    pub(crate) fn continue_run(config: &'a Config, opening: RunRecord, progress: &Progress) -> anyhow::Result<Self> {
        Self::start(config, opening, progress, Tracker::continue_run)
    }

    fn start(
        config: &'a Config,
        opening: RunRecord,
        progress: &Progress,
        begin: fn(&Tracker, &Run, &WarningSink) -> ActiveRun,
    ) -> anyhow::Result<Self> {
        let tracker = Tracker::new(&config.tracking)?;
        let warn = warning_sink(progress);
        let active_run = Some(begin(&tracker, &mlflow_run(config, &opening), &warn));
        Ok(Self { tracker, config, opening, active_run, is_over: false, warn })
    }

    /// Records the finished run with its files. A store that fails is a warning: it does not cost the model.
    ///
    /// # Errors
    /// If the note for an interrupted training cannot be written.
    pub(crate) fn end(
        &mut self,
        inputs: &StageInputs,
        result: &TrainingResult,
        written: &WrittenFiles,
        progress: &Progress,
    ) -> anyhow::Result<RecordedRun> {
        let config = self.config;
        let record = with_absolute_source(&written.record, &inputs.data.path);
        let mut run = mlflow_run(config, &record);
        run.tag_tables(
            written.run_files.iter().map(|file| file.artifact_path.as_str()).filter(|path| path.starts_with("tables/")),
        );
        let artifacts = TrainedArtifacts {
            model: &result.model,
            preprocessor: &inputs.preprocessor,
            model_file: &written.model_file,
            preprocessor_file: &inputs.preprocessor_file,
            reference_file: &written.reference_file,
            lineage: &inputs.lineage,
        };
        let (model_files, warning) = logged_model::add(config, &mut run, &record, &artifacts);
        // a registered model is meant to be loaded by other programs
        let report = |warning: String| if config.register { progress.warn(warning) } else { progress.detail(warning) };
        warning.into_iter().for_each(report);
        stopped_training::write_note(config, &written.manifest)?;
        let files: Vec<RunFile> = written.run_files.iter().cloned().chain(model_files).collect();
        Ok(self.record(&run, &files, progress))
    }

    /// Records that the training failed. A run that is recorded already stays as it is, because its files are complete.
    pub(crate) fn fail(&mut self, error: &anyhow::Error, progress: &Progress) {
        if self.is_over {
            return;
        }
        let mut record = RunRecord { status: RunStatus::Failed, note: format!("{error:#}"), ..self.opening.clone() };
        record.times.ended_at_ms = cli::now_ms();
        let run = mlflow_run(self.config, &record);
        self.record(&run, &[], progress);
    }

    fn record(&mut self, run: &Run, files: &[RunFile], progress: &Progress) -> RecordedRun {
        let started = std::time::Instant::now();
        self.is_over = true;
        let mut recorded =
            RecordedRun { run_id: run.run_id.clone(), run_name: run.run_name.clone(), ..RecordedRun::default() };
        match self.tracker.end(self.active_run.take(), run, files, &self.warn) {
            Ok(RecordOutcome::Primary(reference)) => {
                recorded.run_id = reference.run_id;
                recorded.store = Some(self.tracker.uri());
                (recorded.experiment_id, recorded.page) = (Some(reference.experiment_id), reference.page);
                recorded.version = reference.versions.first().map(|(_, version)| version.clone());
            }
            Ok(RecordOutcome::Fallback(reference, store)) => {
                let server = self.tracker.uri();
                progress.warn(format!(
                    "the run is complete in {}; `train sync --mlflow-tracking-uri {server}` sends it",
                    store.trim_start_matches("sqlite:///")
                ));
                (recorded.store, recorded.unsent) = (Some(store), Some(server));
                recorded.experiment_id = Some(reference.experiment_id);
                recorded.version = reference.versions.first().map(|(_, version)| version.clone());
            }
            Ok(RecordOutcome::Spooled(folder)) => {
                progress.warn(format!("the run waits in {}; the next training records it", folder.display()));
                recorded.waiting = Some(folder);
            }
            Err(error) => progress.warn(format!("the run is not recorded: {error}")),
        }
        recorded.recording_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
        recorded
    }
}
