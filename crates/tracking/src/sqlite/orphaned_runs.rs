//! Marks runs of programs that ended without ending them as killed.

use artifact::clear_abandoned_below;
use rusqlite::params;

use crate::{
    error::TrackingError,
    sqlite::store::{MODELS_FOLDER, SqliteStore},
    tracker::run_lock::{KILLED_NOTE, RunLock},
};

impl SqliteStore {
    /// Marks runs as killed whose program ended without ending them; returns their ids.
    pub(super) fn mark_killed(&self) -> Result<Vec<String>, TrackingError> {
        let abandoned = RunLock::abandoned_in(&self.lock_folder());
        if abandoned.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connect_existing()?;
        let sqlite_error = TrackingError::sqlite(&self.database);
        let killed = self.transact(&mut connection, |transaction| {
            let mut killed = Vec::new();
            for run in abandoned.iter().map(RunLock::run_id) {
                // the time of the end is unknown
                let changed = transaction
                    .execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?1 AND status = 'RUNNING'", [&run])
                    .map_err(&sqlite_error)?;
                if changed == 1 {
                    let note = "INSERT INTO tags (\"key\", value, run_uuid) VALUES ('mlflow.note.content', ?1, ?2) \
                                ON CONFLICT DO NOTHING";
                    transaction.execute(note, params![KILLED_NOTE, run]).map_err(&sqlite_error)?;
                    killed.push(run);
                }
            }
            Ok(killed)
        })?;
        self.remove_partial_copies(&abandoned);
        abandoned.into_iter().for_each(RunLock::remove);
        Ok(killed)
    }

    /// Removes partial copies of the files of killed runs, and of models, whose ids are unknown.
    fn remove_partial_copies(&self, killed: &[RunLock]) {
        let folders = killed.iter().map(RunLock::run_id).chain([MODELS_FOLDER.to_owned()]).collect::<Vec<_>>();
        for experiment in std::fs::read_dir(self.artifacts()).into_iter().flatten().flatten() {
            folders.iter().for_each(|folder| clear_abandoned_below(&experiment.path().join(folder)));
        }
    }
}
