//! Which of the runs under way still have a program behind them.
//!
//! Each has a file that its program keeps locked; the lock goes with the program, however it ends.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rusqlite::params;

use super::EmbeddedStore;
use crate::TrackingError;

const FOLDER: &str = ".running";
const KILLED: &str = "The program was killed before it came to its end.";

/// The file of a run under way, locked.
#[derive(Debug)]
pub(super) struct Alive {
    path: PathBuf,
    file: File,
}

impl Alive {
    /// Marks a run as under way.
    pub(super) fn mark(artifacts: &Path, run: &str) -> Result<Self, TrackingError> {
        let folder = artifacts.join(FOLDER);
        fs::create_dir_all(&folder).map_err(TrackingError::io(&folder, "make the folder"))?;
        let path = folder.join(run);
        loop {
            let file = File::create(&path).map_err(TrackingError::io(&path, "write it"))?;
            file.lock().map_err(TrackingError::io(&path, "lock it"))?;
            // someone who came between the two took it for abandoned, and removed it before letting go of the lock
            if path.exists() {
                return Ok(Self { path, file });
            }
        }
    }

    /// Whether it is the file of this run.
    pub(super) fn is_of(&self, run: &str) -> bool {
        self.path.file_name().is_some_and(|name| name == run)
    }

    /// The run came to its end.
    pub(super) fn clear(self) {
        let _ = fs::remove_file(&self.path);
        drop(self.file);
    }
}

impl EmbeddedStore {
    /// Marks the runs as killed whose program is gone; returns their ids.
    pub(super) fn mark_killed(&self) -> Result<Vec<String>, TrackingError> {
        let marks = fs::read_dir(self.artifacts().join(FOLDER)).into_iter().flatten().flatten();
        let abandoned: Vec<(Alive, String)> = marks
            .filter_map(|entry| Some((abandoned(entry.path())?, entry.file_name().to_string_lossy().into_owned())))
            .collect();
        if abandoned.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connect_existing()?;
        let fault = TrackingError::sqlite(&self.database);
        let killed = self.transact(&mut connection, |transaction| {
            let mut killed = Vec::new();
            for (_, run) in &abandoned {
                // when it was killed nobody knows, so it has no end
                let changed = transaction
                    .execute("UPDATE runs SET status = 'KILLED' WHERE run_uuid = ?1 AND status = 'RUNNING'", [run])
                    .map_err(&fault)?;
                if changed == 1 {
                    let note = "INSERT INTO tags (\"key\", value, run_uuid) VALUES ('mlflow.note.content', ?1, ?2) \
                                ON CONFLICT DO NOTHING";
                    transaction.execute(note, params![KILLED, run]).map_err(&fault)?;
                    killed.push(run.clone());
                }
            }
            Ok(killed)
        })?;
        abandoned.into_iter().for_each(|(mark, _)| mark.clear());
        Ok(killed)
    }
}

/// The mark at `path`, held by us, if nobody else holds it.
fn abandoned(path: PathBuf) -> Option<Alive> {
    let file = File::open(&path).ok()?;
    file.try_lock().ok()?;
    Some(Alive { path, file })
}
