//! The run of a search, the parent of the runs of its trials.

use artifact::{MetricPoint, RUN_RECORD_VERSION, RunIdentity, RunRecord, RunStatus, RunTimes};
use cli::{Clock, Progress};
use model::SearchSection;
use serde_json::{Value, json};
use tracking::{Run, RunFile, Tracker, WarningSink};

use crate::{
    search::{
        objective::LAST_RUNG, selection::Selection, shard::Shard, stopped_search::SearchNote,
        successive_halving::TrialResult,
    },
    tracking::location::warning_sink,
};

/// The run of a search between its begin and its end.
pub(super) struct ParentRun {
    record: RunRecord,
    /// Its id in the store.
    pub(super) id: String,
    /// True if an earlier program began the run and was stopped.
    pub(super) is_repeated: bool,
    /// True if the run is complete in the store: it stays as it is.
    is_recorded: bool,
    note: Option<SearchNote>,
    tracker: Tracker,
    warn: WarningSink,
    pub(super) progress: Progress,
}

impl ParentRun {
    /// Begins the run of `record`, or resumes the run in the note if it was stopped.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub(super) fn begin(
        record: RunRecord,
        mut note: Option<SearchNote>,
        tracker: Tracker,
        progress: Progress,
    ) -> anyhow::Result<Self> {
        let warn = warning_sink(&progress);
        let stopped = note.as_mut().and_then(|note| note.stopped(&record));
        let is_repeated = stopped.is_some();
        let (record, id) = if let Some(stopped) = stopped {
            progress.detail(format!("the search was stopped before; its run {} is resumed", stopped.identity.run_id));
            let id = tracker.resume_now(&Run::from_record(&stopped), &warn);
            (stopped, id)
        } else {
            note.as_mut().map_or(Ok(()), |note| note.write(&record))?;
            let id = tracker.begin_now(&Run::from_record(&record), &warn);
            (record, id)
        };
        let is_recorded = is_repeated && tracker.is_recorded(&Run::from_record(&record));
        Ok(Self { record, id, is_repeated, is_recorded, note, tracker, warn, progress })
    }

    /// Records the end of the run. The note stays until [`finish`](Self::finish).
    fn record_end(&self, mut record: RunRecord, files: &[RunFile]) {
        if self.is_recorded {
            return;
        }
        record.times.ended_at_ms = cli::now_ms();
        if let Err(error) = self.tracker.end(None, &Run::from_record(&record), files, &self.warn) {
            self.progress.warn(format!("the search is not recorded: {error}"));
        }
    }

    /// Records that the search failed, and removes the note.
    pub(super) fn fail(self, error: &anyhow::Error) {
        let note = format!("{error:#}");
        self.record_end(RunRecord { status: RunStatus::Failed, note, ..self.record.clone() }, &[]);
        self.finish();
    }

    /// Records the end of one shard.
    pub(super) fn end_shard(&self) {
        self.record_end(RunRecord { status: RunStatus::Finished, ..self.record.clone() }, &[]);
    }

    /// Records the end of a search with its selection.
    pub(super) fn end_selected(
        &self,
        section: &SearchSection,
        results: &[TrialResult],
        selection: &Selection,
        files: &[RunFile],
    ) {
        let record = with_selection(self.record.clone(), section, results, selection);
        self.record_end(RunRecord { status: RunStatus::Finished, ..record }, files);
    }

    /// Removes the note: nothing is left to resume.
    pub(super) fn finish(self) {
        self.note.into_iter().for_each(SearchNote::remove);
    }
}

/// The record of the run as it begins.
pub(super) fn parent_record(section: &SearchSection, experiment: &str, id: &str, shard: Shard, clock: &Clock) -> RunRecord {
    let mut tags: std::collections::BTreeMap<String, String> = [("search".to_owned(), id.to_owned())].into();
    if shard != Shard::WHOLE {
        tags.insert("shard".into(), shard.to_string());
    }
    let parameters: [(&str, Value); 5] = [
        ("metric", json!(section.metric)),
        ("folds", json!(section.folds)),
        ("random_state", json!(section.seed)),
        ("minutes", json!(section.minutes)),
        ("trials", json!(section.trials)),
    ];
    RunRecord {
        format_version: RUN_RECORD_VERSION,
        identity: RunIdentity {
            run_id: tracking::new_run_id(),
            run_name: format!("search-{id}"),
            user: cli::user(),
            source: "train search".into(),
            commit: cli::commit(),
            branch: cli::branch(),
        },
        status: RunStatus::Running,
        name: experiment.to_owned(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value)).into(),
        tags,
        times: RunTimes { started_at_ms: clock.started_at_ms, ..RunTimes::default() },
        ..RunRecord::default()
    }
}

/// Adds the selection and the best metric after each trial to the record.
fn with_selection(
    mut record: RunRecord,
    section: &SearchSection,
    results: &[TrialResult],
    selection: &Selection,
) -> RunRecord {
    let point = |key: &str, value: f64, step: u32| MetricPoint { key: key.into(), value, step };
    record.metrics.push(point(&format!("cv_{}", section.metric), selection.score, 0));
    record.metrics.push(point("trials_measured", results.len() as f64, 0));
    let mut complete: Vec<&TrialResult> = results.iter().filter(|result| result.rung == LAST_RUNG).collect();
    complete.sort_by_key(|result| result.trial.number);
    let mut best = f64::INFINITY;
    for result in complete {
        if result.evaluation.score < best {
            best = result.evaluation.score;
            record.metrics.push(point("best_so_far", best, result.trial.number as u32 + 1));
        }
    }
    record.note = format!("Selected: {}.\n", selection.describe());
    record
}
