//! The run of a search, the parent of the runs of its trials.

use artifact::{MetricPoint, RUN_RECORD_VERSION, RunIdentity, RunRecord, RunStatus, RunTimes};
use cli::Clock;
use model::SearchSection;
use serde_json::{Value, json};

use crate::search::{objective::LAST_RUNG, selection::Selection, shard::Shard, successive_halving::TrialResult};

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

/// Adds the selection and the course of the best metric to the record.
pub(super) fn with_selection(
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
