//! Errors of stores of runs.

use std::{io, path::PathBuf};

use artifact::ArtifactError;
use thiserror::Error;

/// An error of a store. Every message names the store and says what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages say")]
pub enum TrackingError {
    #[error("{uri}: is not a tracking URI; write http://HOST:PORT for a server, or sqlite:///FILE.db for a file")]
    InvalidLocation { uri: String },
    #[error(
        "{uri}: runs are recorded on an MLflow server or in an SQLite file; write http://HOST:PORT, https://HOST/PATH or \
         sqlite:///FILE.db"
    )]
    UnsupportedScheme { uri: String },
    #[error("{name} {reason}")]
    InvalidVariable { name: String, reason: String },
    #[error("{server}: {what}: {cause}. Check the address, and that the server runs")]
    Unreachable { server: String, what: &'static str, cause: String },
    #[error("{server}: {what}: {reason}")]
    RequestRejected { server: String, what: &'static str, reason: String, code: Option<String>, status: u16 },
    #[error("{server}: files cannot be uploaded to {root}: {reason}")]
    NoUploadTarget { server: String, root: String, reason: String },
    #[error("{store}: run {run} was deleted. Restore it with `mlflow runs restore --run-id {run}`, or unset MLFLOW_RUN_ID")]
    DeletedRun { store: String, run: String },
    #[error("version {version}: cannot fetch its files from {source_uri}")]
    UnfetchableVersion { version: String, source_uri: String },
    #[error("{}: is not an SQLite database. Nothing was written to it; name another with --mlflow-tracking-uri", database.display())]
    NotSqlite { database: PathBuf },
    #[error(
        "{}: is damaged ({cause}). Nothing was written to it; restore it from a backup, or name another with --mlflow-tracking-uri",
        database.display()
    )]
    Damaged { database: PathBuf, cause: rusqlite::Error },
    #[error(
        "{}: is not a database of MLflow (it has tables, but no alembic_version). Nothing was written to it; name another with \
         --mlflow-tracking-uri", database.display()
    )]
    NotMlflow { database: PathBuf },
    #[error(
        "{}: was written by an MLflow older than 3.0 (it has no {what}). Nothing was written to it; upgrade it with `mlflow db \
         upgrade sqlite:///{}`", database.display(), database.display()
    )]
    TooOld { database: PathBuf, what: String },
    #[error(
        "{}: was written by a newer MLflow than this program supports (column {column} is required and unknown). Nothing was written \
         to it; use a newer program", database.display()
    )]
    TooNew { database: PathBuf, column: String },
    #[error("{}: another program has locked it for 20 s. Nothing was written to it", database.display())]
    Locked { database: PathBuf },
    #[error("{}: cannot write it: the file or its folder is read-only", database.display())]
    ReadOnly { database: PathBuf },
    #[error("{}: cannot open or create it. Check that its folder exists and can be written", database.display())]
    CannotOpen { database: PathBuf },
    #[error("{}: no such file; no run was recorded there", database.display())]
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
    #[error("{}: another program changed the file while the run was recorded", path.display())]
    ChangedFile { path: PathBuf },
    #[error("\"{artifact_path}\" is not a valid path of an artifact")]
    RunReference { artifact_path: String },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl TrackingError {
    /// The error code of MLflow, if the server sent one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::RequestRejected { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// Whether the server failed, so that a later attempt may succeed: the run and its files are valid.
    pub fn is_server_failure(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::RequestRejected { .. })
    }

    pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path, action, cause }
    }

    /// Converts an SQLite error to an error that says what to do.
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
