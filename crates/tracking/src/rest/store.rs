//! The store of an MLflow server: its connections, and the run that is being recorded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    entities::{
        run::{DUPLICATES_TAG, RESUMED_TAG, RUN_NAME_TAG, RUN_TAG, Run, Status},
        store::RunReference,
    },
    error::TrackingError,
    rest::{
        api,
        connection::ServerConnection,
        http_config::HttpConfig,
        responses::{self, RemoteRun},
    },
    tracker::run_lock::{KILLED_NOTE, RunLock},
};

/// The store of an MLflow server.
#[derive(Debug)]
pub struct RestStore {
    pub(super) connection: ServerConnection,
    /// The server of the model registry, if it is another one.
    pub(super) registry: Option<ServerConnection>,
    pub(super) server_run: Mutex<Option<ServerRun>>,
    /// The folder with the locks of running runs, by which killed runs are found.
    pub(super) run_locks: Option<PathBuf>,
    pub(super) run_lock: Mutex<Option<RunLock>>,
}

/// A run on the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerRun {
    /// Our id of the run.
    pub(super) client_id: String,
    pub(super) experiment_id: String,
    pub(super) run_id: String,
    pub(super) artifact_uri: String,
    /// Whether nothing of the run can have been sent before.
    pub(super) is_new: bool,
    /// Whether a duplicate of the run may exist.
    pub(super) may_be_duplicated: bool,
}

impl RestStore {
    /// The store of the server at `base`, `http://` or `https://`; `registry` is another server for registered models. It sends nothing
    /// yet.
    ///
    /// # Errors
    /// If an address or a setting cannot be used.
    pub fn new(base: &str, registry: Option<&str>, settings: &HttpConfig) -> Result<Self, TrackingError> {
        let connection = ServerConnection::new(base, settings)?;
        let registry = registry.map(|base| ServerConnection::new(base, settings)).transpose()?;
        let registry = registry.filter(|registry| registry.base() != connection.base());
        Ok(Self { connection, registry, server_run: Mutex::new(None), run_locks: None, run_lock: Mutex::new(None) })
    }

    /// Keeps the locks of running runs in `folder`.
    #[must_use]
    pub fn with_run_locks(self, folder: &Path) -> Self {
        Self { run_locks: Some(folder.to_owned()), ..self }
    }

    pub(super) fn server_run(&self, run: &Run) -> Option<ServerRun> {
        lock(&self.server_run).clone().filter(|server_run| server_run.client_id == run.run_id)
    }

    pub(super) fn set_current(&self, server_run: &ServerRun) {
        *lock(&self.server_run) = Some(server_run.clone());
    }

    /// Locks the run, which this program records.
    pub(super) fn start(&self, run: &Run, server_run: &ServerRun) -> RunReference {
        self.set_current(server_run);
        if let Some(folder) = &self.run_locks {
            let content = format!("{}\n{}\n", self.connection.base(), server_run.run_id);
            *lock(&self.run_lock) = RunLock::acquire(folder, &run.run_id, &content).ok();
        }
        self.reference(server_run)
    }

    pub(super) fn reference(&self, server_run: &ServerRun) -> RunReference {
        let (base, experiment, run) = (self.connection.base(), &server_run.experiment_id, &server_run.run_id);
        RunReference {
            experiment_id: experiment.clone(),
            run_id: run.clone(),
            // without the last part newer servers show the page of another type of experiment
            page: Some(format!("{base}/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning")),
            ..RunReference::default()
        }
    }

    /// Marks a running run as killed; returns whether it was running.
    pub(super) fn mark_killed(&self, run: &str) -> Result<bool, TrackingError> {
        match api::run(&self.connection, run) {
            Ok(remote) if remote.info.status == Status::Running.name() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => return Ok(false),
            Err(error) => return Err(error),
        }
        let note = [("mlflow.note.content".to_owned(), KILLED_NOTE.to_owned())].into();
        api::log_batch(&self.connection, run, &[], &note, &[], &BTreeMap::new())?;
        self.connection.send(&api::update_run(run, Status::Killed, None))?;
        Ok(true)
    }

    /// Creates the run in its experiment. Before a retry it is looked for.
    pub(super) fn create_run(&self, experiment: &str, run: &Run) -> Result<ServerRun, TrackingError> {
        let mut tags = run.tags.clone();
        tags.insert(RUN_TAG.into(), run.run_id.clone());
        let request = api::create_run(experiment, run, &tags);
        let mut find = || {
            let remote = api::runs_with_tag(&self.connection, experiment, RUN_TAG, &run.run_id)?;
            Ok(remote.into_iter().next().map(|run| responses::RunResponse { run }))
        };
        let (created, may_be_duplicated) = self.connection.create(&request, &mut find)?;
        Ok(ServerRun { may_be_duplicated, ..ServerRun::of(run, created.run, true) })
    }

    /// Resumes an existing run.
    pub(super) fn resume_run(&self, run: &Run) -> Result<ServerRun, TrackingError> {
        let remote = api::run(&self.connection, &run.run_id)?;
        if remote.info.lifecycle_stage == "deleted" {
            return Err(TrackingError::DeletedRun { store: self.connection.base().to_owned(), run: run.run_id.clone() });
        }
        self.connection.send(&api::update_run(&remote.info.run_id, Status::Running, None))?;
        api::log_batch(&self.connection, &remote.info.run_id, &[], &tags_to_send(run), &[], &BTreeMap::new())?;
        Ok(ServerRun::of(run, remote, true))
    }

    /// The run on the server, which is created if it does not exist.
    pub(super) fn find_or_create(&self, run: &Run) -> Result<ServerRun, TrackingError> {
        if run.tags.contains_key(RESUMED_TAG) {
            return self.resume_run(run).map(|server_run| ServerRun { is_new: false, ..server_run });
        }
        let experiment = api::experiment(&self.connection, &run.experiment)?;
        let remote = api::runs_with_tag(&self.connection, &experiment, RUN_TAG, &run.run_id)?;
        match most_complete(remote) {
            Some(remote) => Ok(ServerRun::of(run, remote, false)),
            None => self.create_run(&experiment, run),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ServerRun {
    pub(super) fn of(run: &Run, remote: responses::RemoteRun, is_new: bool) -> Self {
        Self {
            client_id: run.run_id.clone(),
            experiment_id: remote.info.experiment_id,
            run_id: remote.info.run_id,
            artifact_uri: remote.info.artifact_uri,
            is_new,
            may_be_duplicated: false,
        }
    }
}

/// The most complete of several duplicates of a run.
pub(super) fn most_complete(runs: Vec<RemoteRun>) -> Option<RemoteRun> {
    // the first of equally complete ones; the oldest comes first
    runs.into_iter().rev().max_by_key(|run| (run.info.is_over(), run.data.metrics.len()))
}

/// The tags to send for an existing run: with our id, without tags for local use, and without the name, which a user may have changed
/// in MLflow.
pub(super) fn tags_to_send(run: &Run) -> BTreeMap<String, String> {
    let mut tags = run.tags.clone();
    tags.insert(RUN_TAG.into(), run.run_id.clone());
    [RUN_NAME_TAG, RESUMED_TAG, DUPLICATES_TAG].iter().for_each(|own| drop(tags.remove(*own)));
    tags
}
