//! Carries runs from the file beside the working directory to a server: whole, once, as often as it is asked for.
//!
//! The server tells what it has: a run of ours carries our id as a tag, and one that is over is whole. So an interruption costs nothing,
//! and two servers can be served from one file. Only a doubt is written to it: that something may have been made twice, because an
//! answer was lost; the next call looks again.

use std::collections::{BTreeMap, BTreeSet};

use artifact::lock_to_write;
use serde::Serialize;

use crate::{
    entities::{
        registry::{AliasChange, ModelVersion, Registry, alias_history},
        run::{DUPLICATES_TAG, MODEL_TAG, PARENT_TAG, Status},
        store::RunStore,
    },
    error::TrackingError,
    rest::store::RestStore,
    sqlite::store::SqliteStore,
};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SyncSummary {
    /// The names of the runs that were sent.
    pub sent: Vec<String>,
    /// How many were there already, whole.
    pub there: usize,
    /// How many are not over yet, and were left alone.
    pub under_way: usize,
    /// How many runs and models were removed because they had been made twice.
    pub removed: usize,
    /// Versions of registered models that were sent: name and number there.
    pub versions: Vec<(String, String)>,
    /// How many moves of aliases were noted there.
    pub moves: usize,
    /// Runs that could not be sent, and why.
    pub faults: Vec<String>,
}

/// Sends the runs of `from` that `to` does not have, and what was registered; of one experiment if it is named. `on_run` is called
/// before each run with how many there are in all.
///
/// # Errors
/// If the file cannot be read, or the server fails; what was sent stays, and the next call goes on from there.
pub fn sync(
    from: &SqliteStore,
    to: &RestStore,
    experiment: Option<&str>,
    on_run: &mut dyn FnMut(usize),
) -> Result<SyncSummary, TrackingError> {
    // two at a time could make a run twice
    let _locks = lock_to_write(&[&from.folder()], &|_| {})?;
    // a program that was killed sends nothing more
    let _ = from.mark_orphaned_runs_killed();
    let ids = from.run_ids(experiment)?;
    let mut summary = SyncSummary::default();
    let mut statuses_by_experiment: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for id in &ids {
        on_run(ids.len());
        let stored = match from.stored_run(id) {
            Ok(stored) => stored,
            Err(error) => {
                summary.faults.push(format!("run {id}: {error}"));
                continue;
            }
        };
        let mut run = stored.run.clone();
        if matches!(run.status, Status::Running | Status::Scheduled) {
            summary.under_way += 1;
            continue;
        }
        if !statuses_by_experiment.contains_key(&run.experiment) {
            statuses_by_experiment.insert(run.experiment.clone(), to.run_statuses(&run.experiment)?);
        }
        // one that ended otherwise there was taken for killed, and is not whole
        let remote_state = statuses_by_experiment[&run.experiment].get(id);
        let is_there = remote_state.is_some_and(|states| states.iter().any(|state| state == run.status.name()));
        let may_have_duplicates = run.tags.remove(DUPLICATES_TAG).is_some();
        if may_have_duplicates {
            summary.removed += to.remove_duplicates_of_run(&run)?;
            for registration in &run.registrations {
                to.keep_one_version(&registration.name, &registration.model_id)?;
            }
        }
        if is_there {
            summary.there += 1;
            continue;
        }
        if let Some(parent) = run.tags.get(PARENT_TAG).cloned()
            && let Some(remote_parent) = to.remote_id(&run.experiment, &parent)?
        {
            run.tags.insert(PARENT_TAG.into(), remote_parent);
        }
        let sent = stored.files().and_then(|files| to.end(&run, &files));
        match sent {
            Ok(reference) => {
                if reference.may_have_duplicates {
                    from.tag_run(id, DUPLICATES_TAG, &to.uri())?;
                }
                summary.sent.push(run.run_name);
                summary.versions.extend(reference.versions);
            }
            Err(error) if error.is_server_failure() => return Err(error),
            Err(error) => summary.faults.push(format!("run {} ({id}): {error}", run.run_name)),
        }
    }
    for name in from.registered_models()? {
        sync_aliases(from, to, &name, &mut summary)?;
    }
    Ok(summary)
}

/// Tells the server of the moves of aliases that it does not know of.
fn sync_aliases(from: &SqliteStore, to: &RestStore, name: &str, summary: &mut SyncSummary) -> Result<(), TrackingError> {
    let Some(local) = from.model(name)? else { return Ok(()) };
    let Some(remote) = to.model(name)? else { return Ok(()) };
    let numbers = numbers(&from.versions(name)?, &to.versions(name)?);
    let mut aliases: BTreeSet<String> = local.aliases.keys().cloned().collect();
    aliases.extend(local.tags.keys().filter_map(|key| key.split_once(' ')).map(|(alias, _)| alias.to_owned()));
    for alias in aliases {
        let changes = alias_history(&local, &alias);
        for change in &changes {
            // a version that was never sent, of a model of someone else
            let Some(version) = numbers.get(&change.version) else { continue };
            let from = change.from.as_ref().and_then(|from| numbers.get(from)).cloned();
            let change = AliasChange { version: version.clone(), from, ..change.clone() };
            summary.moves += usize::from(to.move_alias_once(name, &alias, &change)?);
        }
        // set in MLflow's own pages, which keep no history
        let current = local.aliases.get(&alias).and_then(|version| numbers.get(version));
        if let Some(version) = current.filter(|_| changes.is_empty() && !remote.aliases.contains_key(&alias)) {
            to.set_alias(name, &alias, version)?;
            summary.moves += 1;
        }
    }
    Ok(())
}

/// The number there of each version here.
fn numbers(local: &[ModelVersion], remote: &[ModelVersion]) -> BTreeMap<String, String> {
    let find = |model: &String| remote.iter().find(|version| version.tags.get(MODEL_TAG) == Some(model));
    local
        .iter()
        .filter_map(|version| Some((version.version.clone(), find(version.model_id.as_ref()?)?.version.clone())))
        .collect()
}
