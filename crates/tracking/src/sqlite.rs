//! MLflow's own SQLite database and artifact folder, written without MLflow.
//!
//! A new database has the tables of MLflow 3.0, which later releases upgrade in place when they open it. Statements name
//! every column and look at the tables as they are now, so a database is joined before and after such an upgrade, and while a
//! server has it open: transactions are short and wait for one another.

pub(crate) mod list;
#[cfg(test)]
pub(crate) mod model_tests;
pub(crate) mod orphaned_runs;
pub(crate) mod read;
pub(crate) mod registry;
pub(crate) mod relocate;
pub(crate) mod schema_check;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use artifact::RunPaths;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{
    entities::{
        mlmodel,
        run::{Metric, Run, Status},
        store::{Owner, Place, RunFile, RunStore, copy_all},
    },
    error::TrackingError,
    tracker::run_lock::Alive,
};
pub use relocate::{RelocateError, Relocated};

const SCHEMA: &str = include_str!("sqlite/schema.sql");
/// The migration that made these tables.
const REVISION: &str = "6953534de441";
/// How long a lock is waited for, as long as MLflow does.
const PATIENCE: Duration = Duration::from_secs(20);
/// The folder of models in that of an experiment.
const MODELS: &str = "models";
/// The folder of artifacts, beside the database.
const ARTIFACTS: &str = "mlruns";
/// Among them, the marks of runs under way.
const MARKS: &str = ".running";

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

    /// The one that MLflow's own commands use where nothing else is said.
    pub fn beside_working_directory() -> Self {
        Self::at(Path::new(crate::entities::location::DEFAULT))
    }

    /// The database, as an absolute path.
    pub fn database(&self) -> &Path {
        &self.database
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.database.parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    fn artifacts(&self) -> PathBuf {
        self.folder().join(ARTIFACTS)
    }

    /// Adds the folders of artifacts to what is read: the one beside the database, and those of its experiments that are elsewhere.
    #[must_use]
    pub fn add_artifacts(&self, paths: RunPaths, label: &str) -> RunPaths {
        let own = self.artifacts();
        let elsewhere =
            self.experiment_folders().unwrap_or_default().into_iter().map(|folder| PathBuf::from(plain(&folder)));
        // a folder that holds the database as well holds other things than artifacts
        let elsewhere = elsewhere
            .filter(|folder| folder.is_absolute() && !folder.starts_with(&own) && !self.database.starts_with(folder));
        elsewhere.fold(paths.input(label, &own), |paths, folder| paths.input(label, &folder))
    }

    /// Where experiments keep their artifacts. A database that cannot be read has none.
    fn experiment_folders(&self) -> rusqlite::Result<Vec<String>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        connection.busy_timeout(self.patience)?;
        let sql = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location IS NOT NULL";
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }

    fn marks(&self) -> PathBuf {
        self.artifacts().join(MARKS)
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
        if schema_check::is_empty(&connection).map_err(&fault)? {
            self.create_tables(&mut connection).map_err(&fault)?;
        }
        schema_check::check(&connection, &self.database)?;
        Ok(connection)
    }

    /// All tables or none: whoever comes second finds them.
    fn create_tables(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        if schema_check::is_empty(&transaction)? {
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

    /// Puts a tag on a run.
    pub(crate) fn tag_run(&self, run: &str, key: &str, value: &str) -> Result<(), TrackingError> {
        let mut connection = self.connect_existing()?;
        let fault = TrackingError::sqlite(&self.database);
        self.transact(&mut connection, |transaction| write::tag(transaction, run, key, value).map_err(&fault))
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

    fn write(&self, connection: &mut Connection, run: &Run) -> Result<Place, TrackingError> {
        self.transact(connection, |transaction| {
            let fault = TrackingError::sqlite(&self.database);
            let experiment = write::experiment(transaction, self, run)?;
            write::run(transaction, self, experiment, run).map_err(&fault)?;
            let mut versions = Vec::new();
            for registration in &run.registrations {
                let folder = self.model_folder(experiment, &registration.model_id);
                let version = registry::register(transaction, &folder, experiment, &run.run_id, &run.user, registration);
                versions.push((registration.name.clone(), version.map_err(&fault)?));
            }
            Ok(Place { experiment_id: experiment.to_string(), run_id: run.run_id.clone(), versions, ..Place::default() })
        })
    }

    fn run_folder(&self, experiment: i64, run: &str) -> PathBuf {
        self.artifacts().join(experiment.to_string()).join(run).join("artifacts")
    }

    fn model_folder(&self, experiment: i64, model: &str) -> PathBuf {
        self.artifacts().join(experiment.to_string()).join(MODELS).join(model).join("artifacts")
    }

    fn uri_text(&self) -> String {
        format!("sqlite:///{}", self.database.display())
    }

    fn alive(&self) -> std::sync::MutexGuard<'_, Option<Alive>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path without the scheme of a file's URI.
fn plain(path: &str) -> &str {
    path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path)
}

/// The pairs that a query of two columns finds; no value is an empty one.
fn texts<T: FromIterator<(String, String)>>(connection: &Connection, sql: &str, of: &[&str]) -> rusqlite::Result<T> {
    let mut statement = connection.prepare(sql)?;
    let row = |row: &rusqlite::Row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()));
    statement.query_map(rusqlite::params_from_iter(of), row)?.collect()
}

impl RunStore for EmbeddedStore {
    fn uri(&self) -> String {
        self.uri_text()
    }

    fn begin(&self, run: &Run) -> Result<Place, TrackingError> {
        let mut connection = self.connect()?;
        // before the run can be seen, so that none is ever seen without
        let alive = Alive::mark(&self.marks(), &run.run_id, "")?;
        match self.write(&mut connection, run) {
            Ok(place) => {
                *self.alive() = Some(alive);
                Ok(place)
            }
            Err(error) => {
                alive.clear();
                Err(error)
            }
        }
    }

    fn resume(&self, run: &Run) -> Result<Place, TrackingError> {
        if self.is_finished(run)? {
            return Ok(Place { run_id: run.run_id.clone(), ..Place::default() });
        }
        self.begin(run)
    }

    fn measure(&self, run: &Run, metrics: &[Metric]) -> Result<(), TrackingError> {
        let mut connection = self.connect()?;
        self.transact(&mut connection, |transaction| {
            let experiment = write::experiment(transaction, self, run)?;
            write::metrics(transaction, experiment, &run.run_id, metrics, &BTreeMap::new())
                .map_err(TrackingError::sqlite(&self.database))
        })
    }

    fn end(&self, run: &Run, files: &[RunFile]) -> Result<Place, TrackingError> {
        let mut connection = self.connect()?;
        let experiment = self.transact(&mut connection, |transaction| write::experiment(transaction, self, run))?;
        let addressed = files.iter().map(|file| self.addressed(file, experiment, run)).collect::<Result<Vec<_>, _>>()?;
        copy_all(&addressed, &|owner| match owner {
            Owner::Run => self.run_folder(experiment, &run.run_id),
            Owner::Model(model) => self.model_folder(experiment, model),
        })?;
        let place = self.write(&mut connection, run)?;
        // not that of another run, which goes on while this one is delivered
        if let Some(alive) = self.alive().take_if(|alive| alive.run() == run.run_id) {
            alive.clear();
        }
        Ok(place)
    }

    fn is_finished(&self, run: &Run) -> Result<bool, TrackingError> {
        if !self.database.exists() {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE run_uuid = ?1 AND status = ?2)";
        let found =
            self.connect_existing()?.query_row(sql, [run.run_id.as_str(), Status::Finished.name()], |row| row.get(0));
        found.map_err(TrackingError::sqlite(&self.database))
    }

    fn reap(&self) -> Result<Vec<String>, TrackingError> {
        self.mark_killed()
    }
}

impl EmbeddedStore {
    /// The file with the addresses of this store in it.
    fn addressed(&self, file: &RunFile, experiment: i64, run: &Run) -> Result<RunFile, TrackingError> {
        match &file.owner {
            Owner::Model(model) => {
                let folder = self.model_folder(experiment, model);
                mlmodel::addressed(file, &folder.to_string_lossy(), model, &run.run_id)
            }
            Owner::Run => Ok(file.clone()),
        }
    }
}
