//! Sends locally recorded runs to a server, completely and without duplicates, however often it is called. The server holds the state:
//! our runs have our id as a tag, and an ended run is complete. So an interruption costs nothing, and two servers can receive one file.
//! If a response was lost, the local copy gets a tag, and the next call removes duplicates.

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

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SyncSummary {
    /// The names of the runs that were sent.
    pub sent: Vec<String>,
    /// The number of runs that the server already had.
    pub there: usize,
    /// The number of runs that have not ended, and were skipped.
    pub under_way: usize,
    /// The number of duplicate runs and models that were removed.
    pub removed: usize,
    /// Registered versions that were sent: name, and number on the server.
    pub versions: Vec<(String, String)>,
    /// The number of alias changes that were sent.
    pub moves: usize,
    /// Runs that could not be sent, with the reason.
    pub errors: Vec<String>,
}

/// Sends the runs of `from` that `to` does not have, and their registrations; only those of `experiment` if it is given. `on_run` is
/// called before each run with the number of all runs.
///
/// # Errors
/// If the file cannot be read, or the server fails. Sent runs are kept, and the next call continues from there.
pub fn sync(
    from: &SqliteStore,
    to: &RestStore,
    experiment: Option<&str>,
    on_run: &mut dyn FnMut(usize),
) -> Result<SyncSummary, TrackingError> {
    // two programs at a time could create duplicates
    let _locks = lock_to_write(&[&from.folder()], &|_| {})?;
    // runs of killed programs are complete
    let _ = from.mark_orphaned_runs_killed();
    let ids = from.run_ids(experiment)?;
    let mut summary = SyncSummary::default();
    let mut statuses_by_experiment: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for id in &ids {
        on_run(ids.len());
        let stored = match from.stored_run(id) {
            Ok(stored) => stored,
            Err(error) => {
                summary.errors.push(format!("run {id}: {error}"));
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
        // a run with another status was marked as killed there, and is not complete
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
            Err(error) => summary.errors.push(format!("run {} ({id}): {error}", run.run_name)),
        }
    }
    for name in from.registered_models()? {
        sync_aliases(from, to, &name, &mut summary)?;
    }
    Ok(summary)
}

/// Sends the alias changes that the server does not have.
fn sync_aliases(from: &SqliteStore, to: &RestStore, name: &str, summary: &mut SyncSummary) -> Result<(), TrackingError> {
    let Some(local) = from.model(name)? else { return Ok(()) };
    let Some(remote) = to.model(name)? else { return Ok(()) };
    let numbers = numbers(&from.versions(name)?, &to.versions(name)?);
    let mut aliases: BTreeSet<String> = local.aliases.keys().cloned().collect();
    aliases.extend(local.tags.keys().filter_map(|key| key.split_once(' ')).map(|(alias, _)| alias.to_owned()));
    for alias in aliases {
        let changes = alias_history(&local, &alias);
        for change in &changes {
            // a version of another program's model, which was never sent
            let Some(version) = numbers.get(&change.version) else { continue };
            let from = change.from.as_ref().and_then(|from| numbers.get(from)).cloned();
            let change = AliasChange { version: version.clone(), from, ..change.clone() };
            summary.moves += usize::from(to.move_alias_once(name, &alias, &change)?);
        }
        // set in MLflow's own pages, which write no history
        let current = local.aliases.get(&alias).and_then(|version| numbers.get(version));
        if let Some(version) = current.filter(|_| changes.is_empty() && !remote.aliases.contains_key(&alias)) {
            to.set_alias(name, &alias, version)?;
            summary.moves += 1;
        }
    }
    Ok(())
}

/// The number on the server of each local version.
fn numbers(local: &[ModelVersion], remote: &[ModelVersion]) -> BTreeMap<String, String> {
    let find = |model: &String| remote.iter().find(|version| version.tags.get(MODEL_TAG) == Some(model));
    local
        .iter()
        .filter_map(|version| Some((version.version.clone(), find(version.model_id.as_ref()?)?.version.clone())))
        .collect()
}
