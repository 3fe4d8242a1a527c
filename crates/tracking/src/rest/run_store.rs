//! Records runs on an MLflow server.

use crate::{
    entities::{
        run::{Metric, RESUMED_TAG, RUN_TAG, Run, Status},
        store::{RunFile, RunReference, RunStore},
    },
    error::TrackingError,
    rest::{
        api,
        store::{RestStore, ServerRun, lock},
    },
    tracker::run_lock::RunLock,
};

impl RunStore for RestStore {
    fn uri(&self) -> String {
        self.connection.base().to_owned()
    }

    fn begin(&self, run: &Run) -> Result<RunReference, TrackingError> {
        let server_run = if run.tags.contains_key(RESUMED_TAG) {
            self.resume_run(run)?
        } else {
            self.create_run(&api::experiment(&self.connection, &run.experiment)?, run)?
        };
        Ok(self.start(run, &server_run))
    }

    fn resume(&self, run: &Run) -> Result<RunReference, TrackingError> {
        let server_run = self.find_or_create(run)?;
        let remote = api::run(&self.connection, &server_run.run_id)?;
        if remote.info.status == Status::Finished.name() {
            return Ok(self.reference(&server_run));
        }
        if remote.info.status != Status::Running.name() {
            self.connection.send(&api::update_run(&server_run.run_id, Status::Running, None))?;
        }
        Ok(self.start(run, &server_run))
    }

    fn log_metrics(&self, run: &Run, metrics: &[Metric]) -> Result<(), TrackingError> {
        let Some(server_run) = self.server_run(run) else { return Ok(()) };
        // metrics are sent again at the end, so this call does not wait for retries
        api::log_metrics_once(&self.connection, &server_run.run_id, metrics)
    }

    fn end(&self, run: &Run, files: &[RunFile]) -> Result<RunReference, TrackingError> {
        let server_run = match self.server_run(run) {
            Some(server_run) => server_run,
            None => self.find_or_create(run)?,
        };
        // from now on, something of the run may exist on the server
        self.set_current(&ServerRun { is_new: false, ..server_run.clone() });
        let delivered = self.upload(&server_run, run, files);
        // the run ended, wherever it is recorded, and must not be marked as killed
        if let Some(run_lock) = lock(&self.run_lock).take_if(|run_lock| run_lock.run_id() == run.run_id) {
            run_lock.remove();
        }
        delivered
    }

    fn is_finished(&self, run: &Run) -> Result<bool, TrackingError> {
        let remote = if run.tags.contains_key(RESUMED_TAG) {
            vec![api::run(&self.connection, &run.run_id)?]
        } else {
            let experiment = api::experiment(&self.connection, &run.experiment)?;
            api::runs_with_tag(&self.connection, &experiment, RUN_TAG, &run.run_id)?
        };
        Ok(remote.iter().any(|remote| remote.info.status == Status::Finished.name()))
    }

    fn mark_orphaned_runs_killed(&self) -> Result<Vec<String>, TrackingError> {
        let mut killed = Vec::new();
        for lock in self.run_locks.iter().flat_map(|folder| RunLock::abandoned_in(folder)) {
            let content = lock.content();
            let mut lines = content.lines();
            let (Some(base), Some(run)) = (lines.next(), lines.next()) else {
                lock.remove();
                continue;
            };
            if base != self.connection.base() {
                continue;
            }
            if self.mark_killed(run)? {
                killed.push(run.to_owned());
            }
            lock.remove();
        }
        Ok(killed)
    }
}
