//! The run in its store: begun beside the work, ended whatever comes of it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use artifact::{RunRecord, RunStatus};
use cli::Progress;
use serde::Serialize;
use tracking::{ActiveRun, Location, RecordOutcome, Run, RunFile, Tracker, Tracking, TrackingError, WarningSink};

use crate::{args::TrackingArgs, config::Config, tracking::mlflow_run::told};

const VARIABLE: &str = "MLFLOW_TRACKING_URI";
const RUN_VARIABLE: &str = "MLFLOW_RUN_ID";

/// Where runs are recorded: as the flag says, else the environment, else beside the working directory. What the environment says
/// and cannot be used is a warning, for it may be meant for another program.
fn location(args: &TrackingArgs) -> Result<(Location, Option<String>), TrackingError> {
    match (&args.mlflow_tracking_uri, cli::variable(VARIABLE)) {
        (Some(uri), _) => Ok((Location::parse(uri)?, None)),
        (None, None) => Ok((Location::default(), None)),
        (None, Some(uri)) => match Location::parse(&uri) {
            Ok(location) => Ok((location, None)),
            Err(error) => {
                let location = Location::default();
                Ok((location.clone(), Some(format!("{VARIABLE} is not used: {error}. Using {location}"))))
            }
        },
    }
}

/// Where runs are recorded, and how: what the flags and MLflow's variables say. Runs that cannot be recorded wait below `models`.
pub(crate) fn tracking(args: &TrackingArgs, models: &Path) -> Result<(Tracking, Option<String>), TrackingError> {
    let (location, warning) = location(args)?;
    Ok((Tracking::new(location, models, &cli::variable)?, warning))
}

/// The run that MLflow's variable says is to be gone on with.
pub(crate) fn resumed() -> (Option<String>, Option<String>) {
    match cli::variable(RUN_VARIABLE) {
        Some(run) if is_run_id(&run) => (Some(run), None),
        Some(run) => (None, Some(format!("{RUN_VARIABLE} is not used: \"{run}\" is not the id of a run"))),
        None => (None, None),
    }
}

/// Whether `text` is 32 hexadecimal digits.
pub(crate) fn is_run_id(text: &str) -> bool {
    text.len() == 32 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

pub(crate) fn speaker(progress: &Progress) -> WarningSink {
    let progress = *progress;
    Arc::new(move |warning| progress.warn(warning))
}

/// What is due in the store when there is no run to record.
pub(crate) fn catch_up(config: &Config, progress: &Progress) -> anyhow::Result<()> {
    let warnings = Tracker::new(&config.tracking)?.catch_up();
    warnings.into_iter().for_each(|warning| progress.warn(warning));
    Ok(())
}

/// A run under way.
pub(crate) struct TrackedRun<'a> {
    tracker: Tracker,
    config: &'a Config,
    opening: RunRecord,
    /// Until it is recorded.
    under_way: Option<ActiveRun>,
    is_over: bool,
    warn: WarningSink,
}

/// Where a run can be found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Found {
    /// Its id in the store.
    pub(crate) run_id: String,
    pub(crate) run_name: String,
    /// The address of the store, once the run is in it.
    pub(crate) store: Option<String>,
    pub(crate) experiment_id: Option<String>,
    /// A page that shows it.
    pub(crate) page: Option<String>,
    /// The server that the run is to be sent to, because it could not be used.
    pub(crate) unsent: Option<String>,
    /// The folder where it waits for the store.
    pub(crate) waiting: Option<PathBuf>,
    /// The version that was registered.
    pub(crate) version: Option<String>,
    /// How long the training waited for it to be recorded, milliseconds.
    pub(crate) recording_ms: Option<f64>,
}

impl Found {
    /// Of a run that was recorded before, by whatever training.
    pub(crate) fn of(record: &RunRecord) -> Self {
        Self { run_id: record.identity.run_id.clone(), run_name: record.identity.run_name.clone(), ..Self::default() }
    }
}

impl<'a> TrackedRun<'a> {
    /// Notes in the store that the run is under way, beside the work.
    pub(crate) fn begin(config: &'a Config, opening: RunRecord, progress: &Progress) -> anyhow::Result<Self> {
        let tracker = Tracker::new(&config.tracking)?;
        let warn = speaker(progress);
        let under_way = Some(tracker.begin(&told(config, &opening), &warn));
        Ok(Self { tracker, config, opening, under_way, is_over: false, warn })
    }

    /// Goes on with a run of which a store may have a part.
    pub(crate) fn repeat(config: &'a Config, opening: RunRecord, progress: &Progress) -> anyhow::Result<Self> {
        let tracker = Tracker::new(&config.tracking)?;
        let warn = speaker(progress);
        let under_way = Some(tracker.continue_run(&told(config, &opening), &warn));
        Ok(Self { tracker, config, opening, under_way, is_over: false, warn })
    }

    /// Records the run as it ended. Failing to do so costs a warning, not the model.
    pub(crate) fn end(&mut self, run: &Run, files: &[RunFile], progress: &Progress) -> Found {
        let started = std::time::Instant::now();
        self.is_over = true;
        let mut found = Found { run_id: run.run_id.clone(), run_name: run.run_name.clone(), ..Found::default() };
        match self.tracker.end(self.under_way.take(), run, files, &self.warn) {
            Ok(RecordOutcome::Primary(place)) => {
                found.run_id = place.run_id;
                found.store = Some(self.tracker.uri());
                (found.experiment_id, found.page) = (Some(place.experiment_id), place.page);
                found.version = place.versions.first().map(|(_, version)| version.clone());
            }
            Ok(RecordOutcome::Fallback(place, store)) => {
                let server = self.tracker.uri();
                progress.warn(format!(
                    "the run is whole in {}; `train sync --mlflow-tracking-uri {server}` sends it",
                    store.trim_start_matches("sqlite:///")
                ));
                (found.store, found.unsent) = (Some(store), Some(server));
                found.experiment_id = Some(place.experiment_id);
                found.version = place.versions.first().map(|(_, version)| version.clone());
            }
            Ok(RecordOutcome::Spooled(folder)) => {
                progress.warn(format!("the run waits in {}; the next training records it", folder.display()));
                found.waiting = Some(folder);
            }
            Err(error) => progress.warn(format!("the run is not recorded: {error}")),
        }
        found.recording_ms = Some(started.elapsed().as_secs_f64() * 1000.0);
        found
    }

    /// Records that the run ended with an error; not of one that is recorded already, whose files are whole.
    pub(crate) fn fail(&mut self, error: &anyhow::Error, progress: &Progress) {
        if self.is_over {
            return;
        }
        let mut record = RunRecord { status: RunStatus::Failed, note: format!("{error:#}"), ..self.opening.clone() };
        record.times.ended_at_ms = cli::now_ms();
        let run = told(self.config, &record);
        self.end(&run, &[], progress);
    }
}
