//! An MLflow server, talked to over its REST API.
//!
//! Every call may be made again after a fault: what would be made twice is looked for first, by tags that carry the ids which the
//! program chose. So a run that was cut off anywhere is completed by recording it once more, here or in
//! [`sync`](crate::sync::sync()).

pub(crate) mod api;
pub(crate) mod artifacts;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod http_config;
pub(crate) mod list;
pub(crate) mod registry;
pub(crate) mod responses;
pub(crate) mod retry;
pub(crate) mod upload;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

pub use http_config::{HttpSettings, Login, Variables};

use crate::rest::connection::Connection;
use crate::{
    entities::{
        run::{Metric, RESUMED_TAG, RUN_TAG, Run, Status},
        store::{Place, RunFile, RunStore},
    },
    error::TrackingError,
    tracker::run_lock::{Alive, KILLED},
};
pub use connection::{choose_cryptography, loopback_client};

/// An MLflow server.
#[derive(Debug)]
pub struct RestStore {
    connection: Connection,
    /// Where models are registered, if that is another server.
    registry: Option<Connection>,
    begun: Mutex<Option<Begun>>,
    /// Where runs under way are noted, so that a killed one can be marked as such.
    marks: Option<PathBuf>,
    alive: Mutex<Option<Alive>>,
}

/// A run on the server.
#[derive(Clone, Debug)]
struct Begun {
    /// The id that the program chose.
    client_id: String,
    experiment_id: String,
    run_id: String,
    artifact_uri: String,
    /// Whether nothing of it can have been sent before.
    fresh: bool,
    /// Whether a second one may have been made.
    doubtful: bool,
}

impl RestStore {
    /// For the server at `base`, `http://` or `https://`; `registry` is another one for registered models. Asks nothing yet.
    ///
    /// # Errors
    /// If an address or a setting cannot be used.
    pub fn at(base: &str, registry: Option<&str>, settings: &HttpSettings) -> Result<Self, TrackingError> {
        let connection = Connection::new(base, settings)?;
        let registry = registry.map(|base| Connection::new(base, settings)).transpose()?;
        let registry = registry.filter(|registry| registry.base() != connection.base());
        Ok(Self { connection, registry, begun: Mutex::new(None), marks: None, alive: Mutex::new(None) })
    }

    /// Notes in `folder` which runs are under way.
    #[must_use]
    pub fn marking(self, folder: &Path) -> Self {
        Self { marks: Some(folder.to_owned()), ..self }
    }

    fn begun(&self, run: &Run) -> Option<Begun> {
        lock(&self.begun).clone().filter(|begun| begun.client_id == run.run_id)
    }

    fn remember(&self, begun: &Begun) {
        *lock(&self.begun) = Some(begun.clone());
    }

    /// Notes that this program is behind a run.
    fn under_way(&self, run: &Run, begun: &Begun) -> Place {
        self.remember(begun);
        if let Some(folder) = &self.marks {
            let content = format!("{}\n{}\n", self.connection.base(), begun.run_id);
            *lock(&self.alive) = Alive::mark(folder, &run.run_id, &content).ok();
        }
        self.place(begun)
    }

    /// Says of a run that its program is gone; not if it came to its end in some other way.
    fn mark_killed(&self, run: &str) -> Result<bool, TrackingError> {
        match api::run(&self.connection, run) {
            Ok(found) if found.info.status == Status::Running.name() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.code() == Some("RESOURCE_DOES_NOT_EXIST") => return Ok(false),
            Err(error) => return Err(error),
        }
        let note = [("mlflow.note.content".to_owned(), KILLED.to_owned())].into();
        api::log_batch(&self.connection, run, &[], &note, &[], &BTreeMap::new())?;
        self.connection.tell(&api::update_run(run, Status::Killed, None))?;
        Ok(true)
    }

    /// Creates the run in its experiment; before another attempt it is looked for.
    fn create_run(&self, experiment: &str, run: &Run) -> Result<Begun, TrackingError> {
        let mut tags = run.tags.clone();
        tags.insert(RUN_TAG.into(), run.run_id.clone());
        let request = api::create_run(experiment, run, &tags);
        let mut find = || {
            let found = api::runs_with_tag(&self.connection, experiment, RUN_TAG, &run.run_id)?;
            Ok(found.into_iter().next().map(|run| responses::RunAnswer { run }))
        };
        let (made, doubtful) = self.connection.create(&request, &mut find)?;
        Ok(Begun { doubtful, ..Begun::of(run, made.run, true) })
    }

    /// Goes on with a run that is there.
    fn resume_run(&self, run: &Run) -> Result<Begun, TrackingError> {
        let found = api::run(&self.connection, &run.run_id)?;
        if found.info.lifecycle_stage == "deleted" {
            return Err(TrackingError::DeletedRun { store: self.connection.base().to_owned(), run: run.run_id.clone() });
        }
        self.connection.tell(&api::update_run(&found.info.run_id, Status::Running, None))?;
        api::log_batch(&self.connection, &found.info.run_id, &[], &upload::tags_to_send(run), &[], &BTreeMap::new())?;
        Ok(Begun::of(run, found, true))
    }

    /// The run on the server, made if it is not there.
    fn find_or_create(&self, run: &Run) -> Result<Begun, TrackingError> {
        if run.tags.contains_key(RESUMED_TAG) {
            return self.resume_run(run).map(|begun| Begun { fresh: false, ..begun });
        }
        let experiment = api::experiment(&self.connection, &run.experiment)?;
        let found = api::runs_with_tag(&self.connection, &experiment, RUN_TAG, &run.run_id)?;
        match upload::best(found) {
            Some(found) => Ok(Begun::of(run, found, false)),
            None => self.create_run(&experiment, run),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Begun {
    fn of(run: &Run, found: responses::RemoteRun, fresh: bool) -> Self {
        Self {
            client_id: run.run_id.clone(),
            experiment_id: found.info.experiment_id,
            run_id: found.info.run_id,
            artifact_uri: found.info.artifact_uri,
            fresh,
            doubtful: false,
        }
    }
}

impl RunStore for RestStore {
    fn uri(&self) -> String {
        self.connection.base().to_owned()
    }

    fn begin(&self, run: &Run) -> Result<Place, TrackingError> {
        let begun = if run.tags.contains_key(RESUMED_TAG) {
            self.resume_run(run)?
        } else {
            self.create_run(&api::experiment(&self.connection, &run.experiment)?, run)?
        };
        Ok(self.under_way(run, &begun))
    }

    fn resume(&self, run: &Run) -> Result<Place, TrackingError> {
        let begun = self.find_or_create(run)?;
        let found = api::run(&self.connection, &begun.run_id)?;
        if found.info.status == Status::Finished.name() {
            return Ok(self.place(&begun));
        }
        if found.info.status != Status::Running.name() {
            self.connection.tell(&api::update_run(&begun.run_id, Status::Running, None))?;
        }
        Ok(self.under_way(run, &begun))
    }

    fn measure(&self, run: &Run, metrics: &[Metric]) -> Result<(), TrackingError> {
        let Some(begun) = self.begun(run) else { return Ok(()) };
        // they are sent once more at the end, for which nothing is to be waited for now
        api::log_metrics_once(&self.connection, &begun.run_id, metrics)
    }

    fn end(&self, run: &Run, files: &[RunFile]) -> Result<Place, TrackingError> {
        let begun = match self.begun(run) {
            Some(begun) => begun,
            None => self.find_or_create(run)?,
        };
        // whatever comes of it, the next attempt is not the first
        self.remember(&Begun { fresh: false, ..begun.clone() });
        let delivered = self.deliver(&begun, run, files);
        // it came to its end, wherever it is kept: nobody is to take it for killed
        if let Some(alive) = lock(&self.alive).take_if(|alive| alive.run() == run.run_id) {
            alive.clear();
        }
        delivered
    }

    fn is_finished(&self, run: &Run) -> Result<bool, TrackingError> {
        let found = if run.tags.contains_key(RESUMED_TAG) {
            vec![api::run(&self.connection, &run.run_id)?]
        } else {
            let experiment = api::experiment(&self.connection, &run.experiment)?;
            api::runs_with_tag(&self.connection, &experiment, RUN_TAG, &run.run_id)?
        };
        Ok(found.iter().any(|found| found.info.status == Status::Finished.name()))
    }

    fn reap(&self) -> Result<Vec<String>, TrackingError> {
        let mut killed = Vec::new();
        for mark in self.marks.iter().flat_map(|folder| Alive::abandoned(folder)) {
            let content = mark.content();
            let mut lines = content.lines();
            let (Some(base), Some(run)) = (lines.next(), lines.next()) else {
                mark.clear();
                continue;
            };
            if base != self.connection.base() {
                continue;
            }
            if self.mark_killed(run)? {
                killed.push(run.to_owned());
            }
            mark.clear();
        }
        Ok(killed)
    }
}
