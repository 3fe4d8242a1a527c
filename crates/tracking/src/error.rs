//! Why a run cannot be recorded.

use std::{io, path::PathBuf};

use artifact::ArtifactError;
use thiserror::Error;

/// A store that cannot be read or written. Every message names it and says what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages say")]
pub enum TrackingError {
    #[error(
        "{uri}: is not a place where runs can be recorded; write http://HOST:PORT for a server, or sqlite:///FILE.db for a file"
    )]
    InvalidLocation { uri: String },
    #[error(
        "{uri}: runs are recorded on an MLflow server or in an SQLite file; write http://HOST:PORT, https://HOST/PATH or \
         sqlite:///FILE.db"
    )]
    UnsupportedScheme { uri: String },
    #[error("{name} {reason}")]
    InvalidVariable { name: String, reason: String },
    #[error("{server}: {what}: {cause}. Is the server running, and is the address right?")]
    Unreachable { server: String, what: &'static str, cause: String },
    #[error("{server}: {what}: {reason}")]
    RequestRejected { server: String, what: &'static str, reason: String, code: Option<String>, status: u16 },
    #[error("{server}: files cannot be uploaded to {root}: {reason}")]
    NoUploadTarget { server: String, root: String, reason: String },
    #[error("{store}: run {run} was deleted. Restore it with `mlflow runs restore --run-id {run}`, or unset MLFLOW_RUN_ID")]
    DeletedRun { store: String, run: String },
    #[error("version {version}: its files are at {source_uri}, where this program cannot fetch them")]
    UnfetchableVersion { version: String, source_uri: String },
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
    MissingDatabase { database: PathBuf },
    #[error(
        "{store}: experiment \"{name}\" was deleted in MLflow. Restore it with `mlflow experiments restore --experiment-id {id}`, or \
         use another: MLFLOW_EXPERIMENT_NAME"
    )]
    DeletedExperiment { store: String, name: String, id: String },
    #[error("{}: {cause}", database.display())]
    Database { database: PathBuf, cause: rusqlite::Error },
    #[error("{}: cannot {action}: {cause}", path.display())]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    #[error("{}: {reason}", path.display())]
    InvalidFile { path: PathBuf, reason: String },
    #[error("{}: another program changed it while the run was recorded", path.display())]
    ChangedFile { path: PathBuf },
    #[error("\"{artifact_path}\" is not a place for a file of a run")]
    RunReference { artifact_path: String },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl TrackingError {
    /// What MLflow calls the fault, if it has a name for it.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::RequestRejected { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// Whether a server is at fault that may do better later, not the run or its files.
    pub fn is_server_failure(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::RequestRejected { .. })
    }

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
