//! Marks the runs as killed whose program is gone.

use artifact::clear_abandoned_below;
use rusqlite::params;

use crate::{
    error::TrackingError,
    sqlite::{EmbeddedStore, MODELS},
    tracker::run_lock::{Alive, KILLED},
};

impl EmbeddedStore {
    /// Marks the runs as killed whose program is gone; returns their ids.
    pub(super) fn mark_killed(&self) -> Result<Vec<String>, TrackingError> {
        let abandoned = Alive::abandoned(&self.marks());
        if abandoned.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connect_existing()?;
        let fault = TrackingError::sqlite(&self.database);
        let killed = self.transact(&mut connection, |transaction| {
            let mut killed = Vec::new();
            for run in abandoned.iter().map(Alive::run) {
                // when it was killed nobody knows, so it has no end
                let changed = transaction
                    .execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?1 AND status = 'RUNNING'", [&run])
                    .map_err(&fault)?;
                if changed == 1 {
                    let note = "INSERT INTO tags (\"key\", value, run_uuid) VALUES ('mlflow.note.content', ?1, ?2) \
                                ON CONFLICT DO NOTHING";
                    transaction.execute(note, params![KILLED, run]).map_err(&fault)?;
                    killed.push(run);
                }
            }
            Ok(killed)
        })?;
        self.clear_half_copied(&abandoned);
        abandoned.into_iter().for_each(Alive::clear);
        Ok(killed)
    }

    /// Clears the files that were being copied when their program was killed: of the runs themselves, and of models, whose ids are not known.
    fn clear_half_copied(&self, killed: &[Alive]) {
        let folders = killed.iter().map(Alive::run).chain([MODELS.to_owned()]).collect::<Vec<_>>();
        for experiment in std::fs::read_dir(self.artifacts()).into_iter().flatten().flatten() {
            folders.iter().for_each(|folder| clear_abandoned_below(&experiment.path().join(folder)));
        }
    }
}
