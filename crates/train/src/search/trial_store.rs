//! The trials of a search in the store of runs. No machine repeats a recorded evaluation.

use std::{collections::HashMap, sync::mpsc, thread};

use artifact::{MetricPoint, RUN_RECORD_VERSION, RunIdentity, RunRecord, RunStatus, RunTimes};
use cli::Progress;
use model::Trial;
use serde_json::json;
use tracking::{ListedRun, Location, PARENT_TAG, RecordOutcome, Run, SqliteStore, Tracker, Tracking};

use crate::{search::objective::Evaluation, tracking::location::warning_sink};

/// Recorded evaluations: metric and seconds, by trial and rung.
pub(crate) type KnownTrials = HashMap<(usize, usize), (f64, f64)>;

/// Runs that are read at most.
const MAX_RUNS_READ: u32 = 1_000_000;

/// The name of a trial's run, by which it is found.
fn run_name(search: &str, trial: usize, rung: usize) -> String {
    format!("search-{search}-{trial:05}-{rung}")
}

/// Reads the recorded evaluations of this search.
pub(crate) fn known_trials(tracking: &Tracking, experiment: &str, search: &str, progress: &Progress) -> KnownTrials {
    let listed = match &tracking.location {
        Location::Sqlite { database } if !database.exists() => Ok(None),
        Location::Sqlite { database } => SqliteStore::new(database).runs(Some(experiment), MAX_RUNS_READ),
        Location::Server { .. } => match tracking.server() {
            Ok(Some(server)) => server.runs(Some(experiment), MAX_RUNS_READ),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        },
    };
    let runs = listed.unwrap_or_else(|error| {
        progress.warn(format!("earlier trials cannot be read: {error}"));
        None
    });
    let prefix = format!("search-{search}-");
    let evaluation_of = |run: ListedRun| {
        let (number, step) = run.run_name.strip_prefix(&prefix)?.split_once('-')?;
        let metric = |key: &str| run.metrics.get(key).copied();
        let finished = run.status == "FINISHED";
        let evaluation = (metric("score")?, metric("seconds").unwrap_or(0.0));
        finished.then_some(((number.parse().ok()?, step.parse().ok()?), evaluation))
    };
    runs.unwrap_or_default().into_iter().filter_map(evaluation_of).collect()
}

/// Records trials in the background.
pub(crate) struct TrialRecorder {
    sender: Option<mpsc::Sender<RunRecord>>,
    worker: Option<thread::JoinHandle<usize>>,
    experiment: String,
    search: String,
    metric: String,
}

impl TrialRecorder {
    /// Starts to record trials below the run `parent`.
    pub(crate) fn start(
        tracking: &Tracking,
        experiment: &str,
        search: &str,
        metric: &str,
        parent: &str,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let (sender, receiver) = mpsc::channel::<RunRecord>();
        let mut tracker = Tracker::new(tracking)?;
        // after a failure, the server is not used again
        let fallback = Tracking { location: Location::default(), registry: None, ..tracking.clone() };
        let (parent, warn) = (parent.to_owned(), warning_sink(progress));
        let worker = thread::spawn(move || {
            let mut recorded = 0;
            for record in receiver {
                let mut run = Run::from_record(&record);
                run.tags.insert(PARENT_TAG.into(), parent.clone());
                match tracker.end(None, &run, &[], &warn) {
                    Ok(RecordOutcome::Primary(_)) => recorded += 1,
                    Ok(RecordOutcome::Fallback(..)) => {
                        recorded += 1;
                        if let Ok(other) = Tracker::new(&fallback) {
                            tracker = other;
                        }
                    }
                    Ok(RecordOutcome::Spooled(_)) => {}
                    Err(error) => warn(format!("a trial is not recorded: {error}")),
                }
            }
            recorded
        });
        Ok(Self {
            sender: Some(sender),
            worker: Some(worker),
            experiment: experiment.into(),
            search: search.into(),
            metric: metric.into(),
        })
    }

    /// Records an evaluated trial.
    pub(crate) fn record(&self, trial: &Trial, rung: usize, evaluation: &Evaluation) {
        let now = cli::now_ms();
        let mut parameters = trial.parameters.clone();
        parameters.insert("algorithm".into(), json!(trial.algorithm));
        parameters.insert("target_transform".into(), json!(trial.target_transform.name()));
        let point = |key: &str, value: f64| MetricPoint { key: key.into(), value, step: 0 };
        let record = RunRecord {
            format_version: RUN_RECORD_VERSION,
            identity: RunIdentity {
                run_id: tracking::new_run_id(),
                run_name: run_name(&self.search, trial.number, rung),
                user: cli::user(),
                source: "train search".into(),
                commit: cli::commit(),
                branch: cli::branch(),
            },
            status: RunStatus::Finished,
            name: self.experiment.clone(),
            parameters,
            metrics: vec![
                point("score", evaluation.score),
                point(&format!("cv_{}", self.metric), evaluation.score),
                point("seconds", evaluation.seconds),
                point("rung", rung as f64),
            ],
            tags: [("search".to_owned(), self.search.clone()), ("trial".to_owned(), trial.number.to_string())].into(),
            times: RunTimes {
                started_at_ms: now.saturating_sub((evaluation.seconds * 1000.0) as u64),
                ended_at_ms: now,
                ..RunTimes::default()
            },
            ..RunRecord::default()
        };
        if let Some(sender) = &self.sender {
            let _ = sender.send(record);
        }
    }

    /// Waits until all trials are recorded; returns their number.
    pub(crate) fn finish(mut self) -> usize {
        drop(self.sender.take());
        self.worker.take().map_or(0, |worker| worker.join().unwrap_or(0))
    }
}
