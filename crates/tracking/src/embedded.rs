//! MLflow's own SQLite database and artifact folder, written without MLflow.
//!
//! A new database has the tables of MLflow 3.0, which later releases upgrade in place when they open it. Statements name
//! every column and look at the tables as they are now, so a database is joined before and after such an upgrade, and while a
//! server has it open: transactions are short and wait for one another.

mod alive;
mod guard;
mod relocate;
mod runs;
#[cfg(test)]
mod tests;
mod write;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use artifact::RunRecord;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{RunFile, RunStore, TrackingError, store::copy_all};
use alive::Alive;
pub use relocate::{RelocateError, Relocated};
pub use runs::ListedRun;

const SCHEMA: &str = include_str!("embedded/schema.sql");
/// The migration that made these tables.
const REVISION: &str = "6953534de441";
/// How long a lock is waited for, as long as MLflow does.
const PATIENCE: Duration = Duration::from_secs(20);
/// The folder of artifacts, beside the database.
const ARTIFACTS: &str = "mlruns";

/// A database file and the artifact folder beside it.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: PathBuf,
    patience: Duration,
    alive: Mutex<Option<Alive>>,
}

impl EmbeddedStore {
    /// The store at `database`; touches nothing yet.
    pub fn at(database: &Path) -> Self {
        let database = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
        Self { database, patience: PATIENCE, alive: Mutex::new(None) }
    }

    /// The database, as an absolute path.
    pub fn database(&self) -> &Path {
        &self.database
    }

    fn folder(&self) -> PathBuf {
        self.database.parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    fn artifacts(&self) -> PathBuf {
        self.folder().join(ARTIFACTS)
    }

    /// Opens the database, making it where there is none, and checks that it can be written safely.
    fn connect(&self) -> Result<Connection, TrackingError> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(TrackingError::io(&folder, "make the folder"))?;
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a database that is there.
    fn connect_existing(&self) -> Result<Connection, TrackingError> {
        if !self.database.exists() {
            return Err(TrackingError::Missing { database: self.database.clone() });
        }
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, TrackingError> {
        let fault = TrackingError::sqlite(&self.database);
        let mut connection =
            Connection::open_with_flags(&self.database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&fault)?;
        connection.busy_timeout(self.patience).map_err(&fault)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(&fault)?;
        if guard::is_empty(&connection).map_err(&fault)? {
            self.create_tables(&mut connection).map_err(&fault)?;
        }
        guard::check(&connection, &self.database)?;
        Ok(connection)
    }

    /// All tables or none: whoever comes second finds them.
    fn create_tables(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        if guard::is_empty(&transaction)? {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("INSERT INTO alembic_version (version_num) VALUES (?1)", [REVISION])?;
            transaction.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) \
                 VALUES (0, 'Default', ?1, 'active')",
                [self.artifacts().join("0").to_string_lossy()],
            )?;
        }
        transaction.commit()
    }

    /// Does `work` in one transaction that has the database to itself from its first statement.
    fn transact<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Transaction) -> Result<T, TrackingError>,
    ) -> Result<T, TrackingError> {
        let fault = TrackingError::sqlite(&self.database);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fault)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(&fault)?;
        Ok(done)
    }

    fn write(&self, connection: &mut Connection, record: &RunRecord) -> Result<i64, TrackingError> {
        self.transact(connection, |transaction| {
            let experiment = write::experiment(transaction, self, record)?;
            write::run(transaction, &self.run_folder(experiment, record), experiment, record)
                .map_err(TrackingError::sqlite(&self.database))?;
            Ok(experiment)
        })
    }

    fn run_folder(&self, experiment: i64, record: &RunRecord) -> PathBuf {
        self.artifacts().join(experiment.to_string()).join(&record.identity.run_id).join("artifacts")
    }

    fn alive(&self) -> std::sync::MutexGuard<'_, Option<Alive>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunStore for EmbeddedStore {
    fn uri(&self) -> String {
        format!("sqlite:///{}", self.database.display())
    }

    fn begin(&self, record: &RunRecord) -> Result<String, TrackingError> {
        let mut connection = self.connect()?;
        // before the run can be seen, so that none is ever seen without
        let alive = Alive::mark(&self.artifacts(), &record.identity.run_id)?;
        match self.write(&mut connection, record) {
            Ok(experiment) => {
                *self.alive() = Some(alive);
                Ok(experiment.to_string())
            }
            Err(error) => {
                alive.clear();
                Err(error)
            }
        }
    }

    fn end(&self, record: &RunRecord, files: &[RunFile]) -> Result<String, TrackingError> {
        let mut connection = self.connect()?;
        let experiment = self.transact(&mut connection, |transaction| write::experiment(transaction, self, record))?;
        copy_all(files, &self.run_folder(experiment, record))?;
        self.write(&mut connection, record)?;
        // not that of another run, which goes on while this one is delivered
        if let Some(alive) = self.alive().take_if(|alive| alive.is_of(&record.identity.run_id)) {
            alive.clear();
        }
        Ok(experiment.to_string())
    }

    fn reap(&self) -> Result<Vec<String>, TrackingError> {
        self.mark_killed()
    }
}
