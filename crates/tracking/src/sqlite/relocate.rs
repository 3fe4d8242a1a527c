//! Updates the absolute paths in a database whose folder was moved.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use rusqlite::Transaction;
use serde::Serialize;
use thiserror::Error;

use crate::{
    error::TrackingError,
    sqlite::store::{ARTIFACTS_FOLDER, SqliteStore, without_scheme},
};

/// The tables and columns with artifact paths. A table that an older database does not have is skipped.
const PATH_COLUMNS: [(&str, &str); 4] = [
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
];

/// The changes of a relocation.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Relocation {
    /// The number of changed paths, by table.
    pub changed: Vec<(String, usize)>,
    /// The folders before.
    pub from: BTreeSet<PathBuf>,
    /// The folder now.
    pub to: PathBuf,
}

/// Why paths cannot be relocated.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages say")]
pub enum RelocateError {
    #[error(transparent)]
    Tracking(#[from] TrackingError),
    #[error(
        "{}: its artifacts are recorded in {}, and that folder still exists. To use the copy here instead, add --from {}", database.display(), old.display(), old.display()
    )]
    StillThere { database: PathBuf, old: PathBuf },
    #[error("{}: no artifact is recorded in {}; they are recorded in {known}", database.display(), old.display())]
    Unknown { database: PathBuf, old: PathBuf, known: String },
}

impl SqliteStore {
    /// Replaces every path in another `mlruns` folder by the path in the one beside the database. Without `from` this applies to all
    /// folders that do not exist any more; with it, to that folder only. Datasets beside such a folder are relocated, too.
    ///
    /// # Errors
    /// If there is no database, it cannot be written, an old folder still exists and was not named, or `from` is unknown.
    pub fn relocate(&self, from: Option<&Path>) -> Result<Relocation, RelocateError> {
        let mut connection = self.connect_existing()?;
        let here = self.artifacts();
        let sqlite_error = TrackingError::sqlite(&self.database);
        let mut relocation = Relocation { to: here.clone(), ..Relocation::default() };
        let mut recorded = BTreeSet::new();
        let from = from.map(|from| artifacts_folder_of(&std::path::absolute(from).unwrap_or_else(|_| from.to_owned())));
        let mut still_there = None;
        self.transact(&mut connection, |transaction| {
            for (table, column) in PATH_COLUMNS {
                let mut changed = 0;
                for (row, path) in paths(transaction, table, column).map_err(&sqlite_error)? {
                    let Some((old, rest)) = split_artifact_path(&path) else { continue };
                    if old == here {
                        continue;
                    }
                    recorded.insert(old.clone());
                    match &from {
                        Some(from) if *from != old => continue,
                        None if old.exists() => {
                            still_there = Some(old);
                            continue;
                        }
                        _ => {}
                    }
                    let update = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2");
                    let relocated_path = here.join(rest).to_string_lossy().into_owned();
                    changed += transaction.execute(&update, (relocated_path, row)).map_err(&sqlite_error)?;
                    relocation.from.insert(old);
                }
                if changed > 0 {
                    relocation.changed.push((table.to_owned(), changed));
                }
            }
            let moved: Vec<&Path> = relocation.from.iter().filter_map(|old| old.parent()).collect();
            let changed = relocate_datasets(transaction, &moved, &self.folder()).map_err(&sqlite_error)?;
            if changed > 0 {
                relocation.changed.push(("datasets".to_owned(), changed));
            }
            Ok(())
        })?;
        let database = self.database.clone();
        if let Some(old) = still_there.filter(|_| relocation.changed.is_empty()) {
            return Err(RelocateError::StillThere { database, old: old.parent().map_or(old.clone(), Path::to_owned) });
        }
        if let Some(old) = from.filter(|old| !relocation.from.contains(old)) {
            let mut known: Vec<String> = recorded.iter().map(|path| path.display().to_string()).collect();
            known.push(here.display().to_string());
            return Err(RelocateError::Unknown { database, old, known: known.join(", ") });
        }
        Ok(relocation)
    }
}

fn paths(transaction: &Transaction, table: &str, column: &str) -> rusqlite::Result<Vec<(i64, String)>> {
    let known = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
    if !transaction.query_row(known, [table, column], |row| row.get::<_, bool>(0))? {
        return Ok(Vec::new());
    }
    let mut statement = transaction.prepare(&format!("SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL"))?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Replaces the `moved` folders by `now` in the sources of datasets; returns the number of changes.
fn relocate_datasets(transaction: &Transaction, moved: &[&Path], now: &Path) -> rusqlite::Result<usize> {
    let mut changed = 0;
    for (row, source) in paths(transaction, "datasets", "dataset_source")? {
        let Ok(mut source) = serde_json::from_str::<serde_json::Value>(&source) else { continue };
        let Some(path) = source["uri"].as_str().map(without_scheme) else { continue };
        let Some(rest) = moved.iter().find_map(|old| Path::new(path).strip_prefix(old).ok()) else { continue };
        source["uri"] = now.join(rest).to_string_lossy().into();
        changed +=
            transaction.execute("UPDATE datasets SET dataset_source = ?1 WHERE rowid = ?2", (source.to_string(), row))?;
    }
    Ok(changed)
}

/// The artifact folder of a recorded path, and the rest; `None` if the path is another one, for example on a server.
fn split_artifact_path(path: &str) -> Option<(PathBuf, PathBuf)> {
    let without_scheme = without_scheme(path);
    if !without_scheme.starts_with('/') {
        return None;
    }
    let parts: Vec<_> = Path::new(without_scheme).components().collect();
    let at = parts.iter().rposition(|part| part.as_os_str() == ARTIFACTS_FOLDER)?;
    Some((parts[..=at].iter().collect(), parts[at + 1..].iter().collect()))
}

/// The artifact folder for `from`: the folder itself, or the one in it.
fn artifacts_folder_of(from: &Path) -> PathBuf {
    if from.file_name().is_some_and(|name| name == ARTIFACTS_FOLDER) { from.to_owned() } else { from.join(ARTIFACTS_FOLDER) }
}
