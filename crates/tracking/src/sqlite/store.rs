//! The database file and the artifact folder beside it: paths, connections, transactions.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use artifact::RunPaths;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{entities::location::DEFAULT_DATABASE, error::TrackingError, sqlite::schema_check, tracker::run_lock::RunLock};

const SCHEMA_SQL: &str = include_str!("schema.sql");
/// The migration of MLflow that creates these tables.
pub(super) const ALEMBIC_REVISION: &str = "6953534de441";
/// The timeout of a lock of the database, as in MLflow.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);
/// The folder of models, in the folder of an experiment.
pub(super) const MODELS_FOLDER: &str = "models";
/// The folder of artifacts, beside the database.
pub(super) const ARTIFACTS_FOLDER: &str = "mlruns";
/// The folder of the locks of running runs, among the artifacts.
const LOCK_FOLDER: &str = ".running";

/// A store in a database file, with its artifact folder beside it.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) database: PathBuf,
    pub(super) lock_timeout: Duration,
    pub(super) run_lock: Mutex<Option<RunLock>>,
}

impl SqliteStore {
    /// The store at `database`. It does not access the disk yet.
    pub fn new(database: &Path) -> Self {
        let database = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
        Self { database, lock_timeout: LOCK_TIMEOUT, run_lock: Mutex::new(None) }
    }

    /// The store that MLflow's own commands use by default.
    pub fn beside_working_directory() -> Self {
        Self::new(Path::new(DEFAULT_DATABASE))
    }

    /// The database, as an absolute path.
    pub fn database(&self) -> &Path {
        &self.database
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.database.parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    pub(super) fn artifacts(&self) -> PathBuf {
        self.folder().join(ARTIFACTS_FOLDER)
    }

    /// Adds the artifact folders to the paths that are read: the one beside the database, and those of experiments in other folders.
    #[must_use]
    pub fn add_artifacts(&self, paths: RunPaths, label: &str) -> RunPaths {
        let own = self.artifacts();
        let elsewhere =
            self.experiment_folders().unwrap_or_default().into_iter().map(|folder| PathBuf::from(without_scheme(&folder)));
        // a folder that also holds the database holds more than artifacts
        let elsewhere = elsewhere
            .filter(|folder| folder.is_absolute() && !folder.starts_with(&own) && !self.database.starts_with(folder));
        elsewhere.fold(paths.input(label, &own), |paths, folder| paths.input(label, &folder))
    }

    /// The artifact folders of the experiments.
    fn experiment_folders(&self) -> rusqlite::Result<Vec<String>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        connection.busy_timeout(self.lock_timeout)?;
        let sql = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location IS NOT NULL";
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }

    pub(super) fn lock_folder(&self) -> PathBuf {
        self.artifacts().join(LOCK_FOLDER)
    }

    /// Opens the database, creates it if it does not exist, and checks that it can be written safely.
    pub(super) fn connect(&self) -> Result<Connection, TrackingError> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(TrackingError::io(&folder, "create the folder"))?;
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens an existing database.
    pub(super) fn connect_existing(&self) -> Result<Connection, TrackingError> {
        if !self.database.exists() {
            return Err(TrackingError::MissingDatabase { database: self.database.clone() });
        }
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    pub(super) fn open(&self, flags: OpenFlags) -> Result<Connection, TrackingError> {
        let sqlite_error = TrackingError::sqlite(&self.database);
        let mut connection =
            Connection::open_with_flags(&self.database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&sqlite_error)?;
        connection.busy_timeout(self.lock_timeout).map_err(&sqlite_error)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(&sqlite_error)?;
        if schema_check::is_empty(&connection).map_err(&sqlite_error)? {
            self.create_tables(&mut connection).map_err(&sqlite_error)?;
        }
        schema_check::check(&connection, &self.database)?;
        Ok(connection)
    }

    /// Creates all tables or none. A second program finds them.
    fn create_tables(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        if schema_check::is_empty(&transaction)? {
            transaction.execute_batch(SCHEMA_SQL)?;
            transaction.execute("INSERT INTO alembic_version (version_num) VALUES (?1)", [ALEMBIC_REVISION])?;
            transaction.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) \
                 VALUES (0, 'Default', ?1, 'active')",
                [self.artifacts().join("0").to_string_lossy()],
            )?;
        }
        transaction.commit()
    }

    /// Runs `work` in one transaction, which locks the database for writing from its first statement.
    pub(super) fn transact<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Transaction) -> Result<T, TrackingError>,
    ) -> Result<T, TrackingError> {
        let sqlite_error = TrackingError::sqlite(&self.database);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&sqlite_error)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(&sqlite_error)?;
        Ok(done)
    }

    pub(super) fn run_folder(&self, experiment: i64, run: &str) -> PathBuf {
        self.artifacts().join(experiment.to_string()).join(run).join("artifacts")
    }

    pub(super) fn model_folder(&self, experiment: i64, model: &str) -> PathBuf {
        self.artifacts().join(experiment.to_string()).join(MODELS_FOLDER).join(model).join("artifacts")
    }

    pub(super) fn store_uri(&self) -> String {
        format!("sqlite:///{}", self.database.display())
    }

    pub(super) fn run_lock(&self) -> std::sync::MutexGuard<'_, Option<RunLock>> {
        self.run_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path without the scheme of a file URI.
pub(super) fn without_scheme(path: &str) -> &str {
    path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path)
}

/// The rows of a query with two columns. NULL in the second one is an empty text.
pub(super) fn string_pairs<T: FromIterator<(String, String)>>(
    connection: &Connection,
    sql: &str,
    of: &[&str],
) -> rusqlite::Result<T> {
    let mut statement = connection.prepare(sql)?;
    let row = |row: &rusqlite::Row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()));
    statement.query_map(rusqlite::params_from_iter(of), row)?.collect()
}
