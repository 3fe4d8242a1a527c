//! `train sync`: sends locally recorded runs to a server.

use anyhow::{Context, bail, ensure};
use artifact::RunPaths;
use cli::{Outcome, Progress, Refused};
use serde::Serialize;
use tracking::{Location, Spool, SqliteStore, SyncSummary};

use crate::{args::SyncArgs, tracking::location::tracking_from_args};

#[derive(Serialize)]
struct Summary<'a> {
    from: &'a str,
    to: String,
    #[serde(flatten)]
    done: &'a SyncSummary,
}

/// Sends the runs.
pub(crate) fn sync(args: &SyncArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let (tracking, warning) = tracking_from_args(&args.tracking, &args.models_dir)?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let Location::Sqlite { database } = Location::parse(&args.from)? else {
        bail!("--from {}: is not a local store; write sqlite:///FILE.db", args.from)
    };
    let Some(to) = tracking.server()? else {
        bail!(
            "no server to send to: name one with --mlflow-tracking-uri http://HOST:PORT or MLFLOW_TRACKING_URI (currently {})",
            tracking.location
        )
    };
    let paths = Location::Sqlite { database: database.clone() }.add_inputs(RunPaths::default(), "--from");
    paths.output("--models-dir", &Spool::lock_path(&tracking.spool)).check()?;
    let from = SqliteStore::new(&database);
    deliver_waiting(&from, &tracking.spool, progress)?;
    let mut bar = None;
    let done = tracking::sync(&from, &to, args.experiment.as_deref(), &mut |runs| {
        bar.get_or_insert_with(|| progress.bar("sending", runs as u64)).advance(1);
    });
    drop(bar);
    let done =
        done.with_context(|| format!("{}: sent runs are kept; the next `train sync` continues from there", args.from))?;
    let summary = Summary { from: &args.from, to: tracking.location.to_string(), done: &done };
    let outcome = Outcome::done(&summary, human(&done, &summary.to));
    if done.errors.is_empty() {
        return Ok(outcome);
    }
    done.errors.iter().for_each(|error| progress.warn(error));
    Ok(outcome.refused(format!("{} runs could not be sent", done.errors.len())))
}

/// Records the runs that wait for the file in it, before it is read.
fn deliver_waiting(from: &SqliteStore, spool: &std::path::Path, progress: &Progress) -> anyhow::Result<()> {
    let store: &dyn tracking::RunStore = from;
    let delivered = Spool::new(spool, &store.uri()).deliver(store)?;
    delivered.errors.iter().for_each(|error| progress.warn(error));
    if delivered.runs == 0 && !from.database().exists() {
        ensure!(delivered.errors.is_empty(), "{}: the waiting runs could not be read", from.database().display());
        return Err(Refused(format!("{}: no such file; no run was recorded there", from.database().display())).into());
    }
    Ok(())
}

fn human(done: &SyncSummary, to: &str) -> String {
    let runs = |count: usize| if count == 1 { "1 run".to_owned() } else { format!("{count} runs") };
    let status = if done.sent.is_empty() && done.moves == 0 && done.removed == 0 { "unchanged" } else { "done" };
    let mut human = format!("sync      {status}: {} sent to {to}, {} already there", runs(done.sent.len()), done.there);
    if done.under_way > 0 {
        human.push_str(&format!(", {} unfinished skipped", done.under_way));
    }
    for name in &done.sent {
        human.push_str(&format!("\n          → run {name}"));
    }
    for (name, version) in &done.versions {
        human.push_str(&format!("\n          → version {version} of {name}"));
    }
    if done.moves > 0 {
        human.push_str(&format!("\n          alias changes sent: {}", done.moves));
    }
    if done.removed > 0 {
        human.push_str(&format!("\n          duplicates removed: {}", done.removed));
    }
    human
}
