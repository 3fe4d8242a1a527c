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
        registry::{ModelVersion, Move, Registry, history},
        run::{MODEL_TAG, PARENT_TAG, Status, UNSETTLED_TAG},
        store::RunStore,
    },
    error::TrackingError,
    rest::RestStore,
    sqlite::EmbeddedStore,
};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Synced {
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

/// Sends the runs of `from` that `to` does not have, and what was registered; of one experiment if it is named. `done` is called
/// before each run with how many there are in all.
///
/// # Errors
/// If the file cannot be read, or the server fails; what was sent stays, and the next call goes on from there.
pub fn sync(
    from: &EmbeddedStore,
    to: &RestStore,
    experiment: Option<&str>,
    done: &mut dyn FnMut(usize),
) -> Result<Synced, TrackingError> {
    // two at a time could make a run twice
    let _locks = lock_to_write(&[&from.folder()], &|_| {})?;
    // a program that was killed sends nothing more
    let _ = from.reap();
    let ids = from.run_ids(experiment)?;
    let mut synced = Synced::default();
    let mut delivered: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for id in &ids {
        done(ids.len());
        let kept = match from.kept_run(id) {
            Ok(kept) => kept,
            Err(error) => {
                synced.faults.push(format!("run {id}: {error}"));
                continue;
            }
        };
        let mut run = kept.run.clone();
        if matches!(run.status, Status::Running | Status::Scheduled) {
            synced.under_way += 1;
            continue;
        }
        if !delivered.contains_key(&run.experiment) {
            delivered.insert(run.experiment.clone(), to.delivered(&run.experiment)?);
        }
        // one that ended otherwise there was taken for killed, and is not whole
        let there = delivered[&run.experiment].get(id);
        let is_there = there.is_some_and(|states| states.iter().any(|state| state == run.status.name()));
        let unsettled = run.tags.remove(UNSETTLED_TAG).is_some();
        if unsettled {
            synced.removed += to.settle_run(&run)?;
            for registration in &run.registrations {
                to.settled_version(&registration.name, &registration.model_id)?;
            }
        }
        if is_there {
            synced.there += 1;
            continue;
        }
        if let Some(parent) = run.tags.get(PARENT_TAG).cloned()
            && let Some(there) = to.remote_id(&run.experiment, &parent)?
        {
            run.tags.insert(PARENT_TAG.into(), there);
        }
        let sent = kept.files().and_then(|files| to.end(&run, &files));
        match sent {
            Ok(place) => {
                if place.unsettled {
                    from.tag_run(id, UNSETTLED_TAG, &to.uri())?;
                }
                synced.sent.push(run.run_name);
                synced.versions.extend(place.versions);
            }
            Err(error) if error.is_of_server() => return Err(error),
            Err(error) => synced.faults.push(format!("run {} ({id}): {error}", run.run_name)),
        }
    }
    for name in from.registered_models()? {
        sync_aliases(from, to, &name, &mut synced)?;
    }
    Ok(synced)
}

/// Tells the server of the moves of aliases that it does not know of.
fn sync_aliases(from: &EmbeddedStore, to: &RestStore, name: &str, synced: &mut Synced) -> Result<(), TrackingError> {
    let Some(ours) = from.model(name)? else { return Ok(()) };
    let Some(theirs) = to.model(name)? else { return Ok(()) };
    let numbers = numbers(&from.versions(name)?, &to.versions(name)?);
    let mut aliases: BTreeSet<String> = ours.aliases.keys().cloned().collect();
    aliases.extend(ours.tags.keys().filter_map(|key| key.split_once(' ')).map(|(alias, _)| alias.to_owned()));
    for alias in aliases {
        let known = history(&ours, &alias);
        for moved in &known {
            // a version that was never sent, of a model of someone else
            let Some(version) = numbers.get(&moved.version) else { continue };
            let from = moved.from.as_ref().and_then(|from| numbers.get(from)).cloned();
            let moved = Move { version: version.clone(), from, ..moved.clone() };
            synced.moves += usize::from(to.move_once(name, &alias, &moved)?);
        }
        // set in MLflow's own pages, which keep no history
        let current = ours.aliases.get(&alias).and_then(|version| numbers.get(version));
        if let Some(version) = current.filter(|_| known.is_empty() && !theirs.aliases.contains_key(&alias)) {
            to.set_alias(name, &alias, version)?;
            synced.moves += 1;
        }
    }
    Ok(())
}

/// The number there of each version here.
fn numbers(ours: &[ModelVersion], theirs: &[ModelVersion]) -> BTreeMap<String, String> {
    let there = |model: &String| theirs.iter().find(|version| version.tags.get(MODEL_TAG) == Some(model));
    ours.iter()
        .filter_map(|version| Some((version.version.clone(), there(version.model_id.as_ref()?)?.version.clone())))
        .collect()
}
