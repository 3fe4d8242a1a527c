//! The run in its store: begun before anything is read, ended whatever comes of it.

use std::path::PathBuf;

use artifact::{RunRecord, RunStatus};
use cli::Progress;
use serde::Serialize;
use tracking::{Location, Recorded, RunFile, Tracker, TrackingError};

use crate::{Config, args::TrackingArgs};

const VARIABLE: &str = "MLFLOW_TRACKING_URI";

/// Where runs are recorded: as the flag says, else the environment, else beside the working directory. What the environment says
/// and cannot be used is a warning, for it may be meant for another program.
pub(crate) fn location(args: &TrackingArgs) -> Result<(Location, Option<String>), TrackingError> {
    match (&args.mlflow_tracking_uri, cli::variable(VARIABLE)) {
        (Some(uri), _) => Ok((Location::parse(uri)?, None)),
        (None, None) => Ok((Location::default(), None)),
        (None, Some(uri)) => match Location::parse(&uri) {
            Ok(location) => Ok((location, None)),
            Err(error) => {
                let location = Location::default();
                let warning = format!("{VARIABLE} is not used: {error}. Using {}", location.database.display());
                Ok((location, Some(warning)))
            }
        },
    }
}

/// What is due in the store when there is no run to record.
pub(crate) fn catch_up(config: &Config, progress: &Progress) {
    let warnings = Tracker::new(&config.location, &config.spool).catch_up();
    warnings.into_iter().for_each(|warning| progress.warn(warning));
}

/// A run under way.
pub(crate) struct TrackedRun {
    tracker: Tracker,
    opening: RunRecord,
    /// What the user was told when it began.
    warnings: Vec<String>,
    recording: std::time::Duration,
}

/// Where a run can be found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) run_id: String,
    pub(crate) run_name: String,
    /// The address of the store, once the run is in it.
    pub(crate) store: Option<String>,
    pub(crate) experiment_id: Option<String>,
    /// The folder where it waits for the store.
    pub(crate) waiting: Option<PathBuf>,
    /// What recording it cost, milliseconds.
    pub(crate) recording_ms: Option<f64>,
}

impl Found {
    /// Of a run that was recorded before, by whatever training.
    pub(crate) fn of(record: &RunRecord) -> Self {
        Self {
            run_id: record.identity.run_id.clone(),
            run_name: record.identity.run_name.clone(),
            store: None,
            experiment_id: None,
            waiting: None,
            recording_ms: None,
        }
    }
}

impl TrackedRun {
    /// Notes in the store that the run is under way.
    pub(crate) fn begin(config: &Config, opening: RunRecord, progress: &Progress) -> Self {
        let started = std::time::Instant::now();
        let tracker = Tracker::new(&config.location, &config.spool);
        let warnings = tracker.begin(&opening);
        warnings.iter().for_each(|warning| progress.warn(warning));
        Self { tracker, opening, warnings, recording: started.elapsed() }
    }

    /// Records the run as it ended. Failing to do so costs a warning, not the model.
    pub(crate) fn end(&self, record: &RunRecord, files: &[RunFile], progress: &Progress) -> Found {
        let started = std::time::Instant::now();
        let mut found = Found::of(record);
        match self.tracker.end(record, files) {
            Ok((recorded, warnings)) => {
                let new = warnings.iter().filter(|warning| !self.warnings.contains(warning));
                new.for_each(|warning| progress.warn(warning));
                match recorded {
                    Recorded::Experiment(id) => {
                        (found.store, found.experiment_id) = (Some(self.tracker.uri()), Some(id));
                    }
                    Recorded::Waiting(folder) => {
                        progress.warn(format!("the run waits in {}; the next training records it", folder.display()));
                        found.waiting = Some(folder);
                    }
                }
            }
            Err(error) => progress.warn(format!("the run is not recorded: {error}")),
        }
        found.recording_ms = Some((self.recording + started.elapsed()).as_secs_f64() * 1000.0);
        found
    }

    /// Records that the run ended with an error.
    pub(crate) fn fail(&self, error: &anyhow::Error, progress: &Progress) {
        let mut record = RunRecord { status: RunStatus::Failed, note: format!("{error:#}"), ..self.opening.clone() };
        record.times.ended_at_ms = cli::now_ms();
        self.end(&record, &[], progress);
    }
}
