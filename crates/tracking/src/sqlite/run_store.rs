//! Records runs in the database.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::{
    entities::{
        mlmodel,
        run::{Metric, Run, Status},
        store::{ArtifactOwner, RunFile, RunReference, RunStore, copy_all},
    },
    error::TrackingError,
    sqlite::{registry, store::SqliteStore, write},
    tracker::run_lock::RunLock,
};

impl RunStore for SqliteStore {
    fn uri(&self) -> String {
        self.store_uri()
    }

    fn begin(&self, run: &Run) -> Result<RunReference, TrackingError> {
        let mut connection = self.connect()?;
        // before the run exists, so that no run is ever without a lock
        let run_lock = RunLock::acquire(&self.lock_folder(), &run.run_id, "")?;
        match self.write(&mut connection, run) {
            Ok(reference) => {
                *self.run_lock() = Some(run_lock);
                Ok(reference)
            }
            Err(error) => {
                run_lock.remove();
                Err(error)
            }
        }
    }

    fn resume(&self, run: &Run) -> Result<RunReference, TrackingError> {
        if self.is_finished(run)? {
            return Ok(RunReference { run_id: run.run_id.clone(), ..RunReference::default() });
        }
        self.begin(run)
    }

    fn log_metrics(&self, run: &Run, metrics: &[Metric]) -> Result<(), TrackingError> {
        let mut connection = self.connect()?;
        self.transact(&mut connection, |transaction| {
            let experiment = write::experiment(transaction, self, run)?;
            write::metrics(transaction, experiment, &run.run_id, metrics, &BTreeMap::new())
                .map_err(TrackingError::sqlite(&self.database))
        })
    }

    fn end(&self, run: &Run, files: &[RunFile]) -> Result<RunReference, TrackingError> {
        let mut connection = self.connect()?;
        let experiment = self.transact(&mut connection, |transaction| write::experiment(transaction, self, run))?;
        let with_addresses =
            files.iter().map(|file| self.with_addresses(file, experiment, run)).collect::<Result<Vec<_>, _>>()?;
        copy_all(&with_addresses, &|owner| match owner {
            ArtifactOwner::Run => self.run_folder(experiment, &run.run_id),
            ArtifactOwner::Model(model) => self.model_folder(experiment, model),
        })?;
        let reference = self.write(&mut connection, run)?;
        // not the lock of another run, which continues while this one is delivered
        if let Some(run_lock) = self.run_lock().take_if(|run_lock| run_lock.run_id() == run.run_id) {
            run_lock.remove();
        }
        Ok(reference)
    }

    fn is_finished(&self, run: &Run) -> Result<bool, TrackingError> {
        if !self.database.exists() {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE run_uuid = ?1 AND status = ?2)";
        let existing =
            self.connect_existing()?.query_row(sql, [run.run_id.as_str(), Status::Finished.name()], |row| row.get(0));
        existing.map_err(TrackingError::sqlite(&self.database))
    }

    fn mark_orphaned_runs_killed(&self) -> Result<Vec<String>, TrackingError> {
        self.mark_killed()
    }
}

impl SqliteStore {
    /// The file with the paths of this store.
    fn with_addresses(&self, file: &RunFile, experiment: i64, run: &Run) -> Result<RunFile, TrackingError> {
        match &file.owner {
            ArtifactOwner::Model(model) => {
                let folder = self.model_folder(experiment, model);
                mlmodel::with_addresses(file, &folder.to_string_lossy(), model, &run.run_id)
            }
            ArtifactOwner::Run => Ok(file.clone()),
        }
    }

    /// Sets a tag of a run.
    pub(crate) fn tag_run(&self, run: &str, key: &str, value: &str) -> Result<(), TrackingError> {
        let mut connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        self.transact(&mut connection, |transaction| write::tag(transaction, run, key, value).map_err(&sqlite_error))
    }

    fn write(&self, connection: &mut Connection, run: &Run) -> Result<RunReference, TrackingError> {
        self.transact(connection, |transaction| {
            let sqlite_error = TrackingError::sqlite(&self.database);
            let experiment = write::experiment(transaction, self, run)?;
            write::run(transaction, self, experiment, run).map_err(&sqlite_error)?;
            let mut versions = Vec::new();
            for registration in &run.registrations {
                let folder = self.model_folder(experiment, &registration.model_id);
                let version = registry::register(transaction, &folder, experiment, &run.run_id, &run.user, registration);
                versions.push((registration.name.clone(), version.map_err(&sqlite_error)?));
            }
            Ok(RunReference {
                experiment_id: experiment.to_string(),
                run_id: run.run_id.clone(),
                versions,
                ..RunReference::default()
            })
        })
    }
}
