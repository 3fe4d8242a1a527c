//! `train runs`: the runs of a store, for the terminal.

use cli::{No, Outcome, Progress};
use serde::Serialize;
use tracking::{EmbeddedStore, ListedRun, RunStore};

use crate::{
    args::RunsArgs,
    figure::{figure, label},
    tracked::location,
};

#[derive(Serialize)]
struct Listing {
    store: String,
    runs: Vec<ListedRun>,
}

/// Lists runs; those of killed programs are marked as such first.
pub(crate) fn list(args: &RunsArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let (location, warning) = location(&args.tracking)?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let store = EmbeddedStore::at(&location.database);
    // a store that can only be read can still be listed
    let _ = store.reap();
    let name = args.experiment.as_deref().unwrap_or_default();
    let Some(runs) = store.runs(args.experiment.as_deref(), args.limit)? else {
        return Err(No(format!("{}: has no experiment \"{name}\"", location.database.display())).into());
    };
    let human = if runs.is_empty() { format!("no runs in {}", location.database.display()) } else { table(&runs) };
    Ok(Outcome::done(&Listing { store: store.uri(), runs }, human))
}

fn table(runs: &[ListedRun]) -> String {
    let measured = |run: &ListedRun, key: &str| run.metrics.get(key).map_or("–".into(), |value| figure(key, *value));
    let rows: Vec<[String; 8]> = runs
        .iter()
        .map(|run| {
            [
                run.run_id.clone(),
                run.run_name.clone(),
                run.experiment.clone(),
                run.status.clone(),
                run.started_at_ms.map_or("–".into(), cli::utc),
                measured(run, "r2"),
                measured(run, "mae"),
                measured(run, "rmse"),
            ]
        })
        .collect();
    let headings = ["run id", "name", "experiment", "status", "started (UTC)", label("r2"), label("mae"), label("rmse")]
        .map(str::to_owned);
    let lines: Vec<&[String; 8]> = std::iter::once(&headings).chain(&rows).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |cells: &&[String; 8]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| if column < 5 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}
