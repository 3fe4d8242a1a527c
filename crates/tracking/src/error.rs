//! Why a run cannot be recorded.

use std::{io, path::PathBuf};

use artifact::ArtifactError;
use thiserror::Error;

/// A store that cannot be read or written. Every message names it and says what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages say")]
pub enum TrackingError {
    #[error("{uri}: is not a place where runs can be recorded; write sqlite:///FILE.db, or sqlite:////absolute/FILE.db")]
    Location { uri: String },
    #[error(
        "{uri}: this program records runs in an SQLite file only, not on a server or in a folder of files; write \
         sqlite:///FILE.db"
    )]
    Scheme { uri: String },
    #[error("{}: is not an SQLite database. Nothing was written to it; name another with --mlflow-tracking-uri", database.display())]
    NotSqlite { database: PathBuf },
    #[error(
        "{}: is damaged ({cause}). Nothing was written to it; restore it from a copy, or name another with --mlflow-tracking-uri",
        database.display()
    )]
    Damaged { database: PathBuf, cause: rusqlite::Error },
    #[error(
        "{}: is a database of something else (it has tables, and no alembic_version among them). Nothing was written to it; \
         name another with --mlflow-tracking-uri", database.display()
    )]
    NotMlflow { database: PathBuf },
    #[error(
        "{}: was written by an MLflow older than 3.0 (it has no {what}). Nothing was written to it; upgrade it with `mlflow db \
         upgrade sqlite:///{}`", database.display(), database.display()
    )]
    TooOld { database: PathBuf, what: String },
    #[error(
        "{}: was written by an MLflow newer than this program knows ({column} must have a value, and its meaning is not known). \
         Nothing was written to it; use a newer program", database.display()
    )]
    TooNew { database: PathBuf, column: String },
    #[error("{}: another program has held it locked for 20 s. Nothing was written to it", database.display())]
    Locked { database: PathBuf },
    #[error("{}: cannot be written: it or its folder is read-only", database.display())]
    ReadOnly { database: PathBuf },
    #[error("{}: cannot be opened or made; is its folder there, and to be written to?", database.display())]
    CannotOpen { database: PathBuf },
    #[error("{}: no such file; nothing has been recorded there", database.display())]
    Missing { database: PathBuf },
    #[error(
        "{}: experiment \"{name}\" was deleted in MLflow. Restore it with `mlflow experiments restore --experiment-id {id}`, or \
         change model.name", database.display()
    )]
    DeletedExperiment { database: PathBuf, name: String, id: i64 },
    #[error("{}: {cause}", database.display())]
    Database { database: PathBuf, cause: rusqlite::Error },
    #[error("{}: cannot {action}: {cause}", path.display())]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    #[error("{}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: another program changed it while the run was recorded", path.display())]
    Changed { path: PathBuf },
    #[error("\"{place}\" is not a place for a file of a run")]
    Place { place: String },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl TrackingError {
    pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path, action, cause }
    }

    /// What an SQLite error means for the database.
    pub(crate) fn sqlite(database: &std::path::Path) -> impl Fn(rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let database = database.to_owned();
        move |cause| {
            let database = database.clone();
            match cause.sqlite_error_code() {
                Some(Code::NotADatabase) => Self::NotSqlite { database },
                Some(Code::DatabaseCorrupt) => Self::Damaged { database, cause },
                Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Locked { database },
                Some(Code::ReadOnly | Code::PermissionDenied) => Self::ReadOnly { database },
                Some(Code::CannotOpen) => Self::CannotOpen { database },
                _ => Self::Database { database, cause },
            }
        }
    }
}
