//! `train runs`: lists the runs of a store.

use std::path::Path;

use anyhow::Context;
use cli::{Outcome, Progress, Refused};
use model::{format_metric, metric_label};
use serde::Serialize;
use tracking::{ListedRun, Location, RunStore, SqliteStore};

use crate::{
    args::RunsArgs,
    tracking::{location::tracking_from_args, mlflow_run::mlflow_names},
};

#[derive(Serialize)]
struct RunListing {
    store: String,
    runs: Vec<ListedRun>,
}

/// Lists runs, after runs of killed programs are marked as killed.
pub(crate) fn list(args: &RunsArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let (tracking, warning) = tracking_from_args(&args.tracking, Path::new("models"))?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let (store, runs) = match &tracking.location {
        Location::Sqlite { database } => {
            let store = SqliteStore::new(database);
            // a read-only store can still be listed
            let _ = store.mark_orphaned_runs_killed();
            (store.uri(), store.runs(args.experiment.as_deref(), args.limit)?)
        }
        Location::Server { .. } => {
            let store = tracking.server()?.context("a server has an address")?;
            (store.uri(), store.runs(args.experiment.as_deref(), args.limit)?)
        }
    };
    let name = args.experiment.as_deref().unwrap_or_default();
    let Some(runs) = runs else {
        return Err(Refused(format!("{}: has no experiment \"{name}\"", tracking.location)).into());
    };
    let human = if runs.is_empty() { format!("no runs in {}", tracking.location) } else { table(&runs) };
    Ok(Outcome::done(&RunListing { store, runs }, human))
}

fn table(runs: &[ListedRun]) -> String {
    // a run of another program has the names of MLflow's own logging
    let metric = |run: &ListedRun, key: &'static str| {
        let value = std::iter::once(key).chain(mlflow_names(key)).find_map(|name| run.metrics.get(name));
        value.map_or("–".into(), |value| format_metric(key, *value))
    };
    let rows: Vec<[String; 8]> = runs
        .iter()
        .map(|run| {
            [
                run.run_id.clone(),
                run.run_name.clone(),
                run.experiment.clone(),
                run.status.clone(),
                run.started_at_ms.map_or("–".into(), cli::utc),
                metric(run, "r2"),
                metric(run, "mae"),
                metric(run, "rmse"),
            ]
        })
        .collect();
    let headings = [
        "run id",
        "name",
        "experiment",
        "status",
        "started (UTC)",
        metric_label("r2"),
        metric_label("mae"),
        metric_label("rmse"),
    ]
    .map(str::to_owned);
    let lines: Vec<[String; 8]> = std::iter::once(headings).chain(rows).collect();
    cli::format_table(&lines, &[5, 6, 7])
}
