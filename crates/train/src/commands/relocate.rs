//! `train relocate`: updates the paths in a store of runs whose folder was moved.

use std::path::Path;

use anyhow::bail;
use cli::{Outcome, Progress};
use tracking::{Location, SqliteStore};

use crate::{args::RelocateArgs, tracking::location::tracking_from_args};

/// Updates the paths.
pub(crate) fn relocate(args: &RelocateArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let (tracking, warning) = tracking_from_args(&args.tracking, Path::new("models"))?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let Location::Sqlite { database } = &tracking.location else {
        bail!(
            "{}: cannot relocate the paths of a server. Name a file with --mlflow-tracking-uri sqlite:///FILE.db",
            tracking.location
        )
    };
    let relocated = SqliteStore::new(database).relocate(args.from.as_deref())?;
    let to = relocated.to.display();
    let human = if relocated.changed.is_empty() {
        format!("relocate  unchanged: every recorded folder exists; the artifacts of this store are in {to}")
    } else {
        let changed: Vec<String> = relocated.changed.iter().map(|(table, paths)| format!("{paths} in {table}")).collect();
        let from: Vec<String> = relocated.from.iter().map(|folder| folder.display().to_string()).collect();
        format!("relocate  done: paths changed: {}\n          {} → {to}", changed.join(", "), from.join(", "))
    };
    Ok(Outcome::done(&relocated, human))
}
