//! Where runs wait until their store can be written.
//!
//! A run is a folder of its id: its files below `artifacts`, and `run.json`, which is written last and removed first, so that a
//! folder with it is whole.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use artifact::{FileEntry, RunArtifact, RunRecord, write_atomically};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Content, RunFile, RunStore, TrackingError, store::copy_all};

const RECORD: &str = "run.json";
const ARTIFACTS: &str = "artifacts";
const LOCK: &str = ".lock";

/// The folder where runs wait, and the store they wait for.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    store: String,
}

/// A run that waits, as written to disk.
#[derive(Deserialize, Serialize)]
struct Waiting {
    /// The store that could not be written.
    store: String,
    /// The run.
    record: Value,
    /// Its files, as seen from the folder.
    files: Vec<RunArtifact>,
}

/// What came of a delivery.
#[derive(Debug, Default)]
pub struct Delivered {
    /// How many runs went into the store.
    pub runs: usize,
    /// How many wait for another store, and which.
    pub elsewhere: Vec<(PathBuf, String)>,
    /// Those that could not be read or recorded, and why.
    pub faults: Vec<String>,
}

impl Spool {
    /// The spool in `folder` for the store called `store`; touches nothing yet.
    pub fn at(folder: &Path, store: &str) -> Self {
        Self { folder: folder.to_owned(), store: store.to_owned() }
    }

    /// Records the runs that wait for this spool's store in `store`, and lets go of them.
    ///
    /// # Errors
    /// If the folder cannot be read. A run that cannot be delivered stays, and is among the faults.
    pub fn deliver(&self, store: &dyn RunStore) -> Result<Delivered, TrackingError> {
        let mut delivered = Delivered::default();
        if !self.folder.exists() {
            return Ok(delivered);
        }
        let lock = self.lock_file()?;
        if lock.try_lock().is_err() {
            // someone delivers, or is about to leave a run here: there is a next time
            return Ok(delivered);
        }
        let entries = fs::read_dir(&self.folder).map_err(TrackingError::io(&self.folder, "read it"))?;
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        for folder in folders {
            let waiting = match Self::read(&folder) {
                Ok(Some(waiting)) => waiting,
                Ok(None) => {
                    // nobody is writing it, or the lock would be taken
                    let _ = fs::remove_dir_all(&folder);
                    continue;
                }
                Err(error) => {
                    delivered.faults.push(error.to_string());
                    continue;
                }
            };
            let (waiting, record) = waiting;
            if waiting.store != self.store {
                delivered.elsewhere.push((folder, waiting.store));
                continue;
            }
            let file = |file: RunArtifact| RunFile {
                content: Content::File(FileEntry { path: folder.join(&file.path), digest: file.digest, bytes: file.bytes }),
                place: file.place,
            };
            let files: Vec<RunFile> = waiting.files.into_iter().map(file).collect();
            match store.end(&record, &files) {
                Ok(_) => {
                    delivered.runs += 1;
                    let gone = fs::remove_file(folder.join(RECORD)).and_then(|()| fs::remove_dir_all(&folder));
                    gone.map_err(TrackingError::io(&folder, "remove it"))?;
                }
                Err(error) => delivered.faults.push(error.to_string()),
            }
        }
        Ok(delivered)
    }

    /// Keeps a run that came to its end, with its files; returns the folder where it waits.
    ///
    /// # Errors
    /// If the folder cannot be written, or a file cannot be read.
    pub fn keep(&self, record: &RunRecord, files: &[RunFile]) -> Result<PathBuf, TrackingError> {
        let lock = self.lock_file()?;
        lock.lock_shared().map_err(TrackingError::io(&self.folder, "lock it"))?;
        let folder = self.folder.join(&record.identity.run_id);
        copy_all(files, &folder.join(ARTIFACTS))?;
        let unreadable =
            |error: serde_json::Error| TrackingError::Unreadable { path: folder.clone(), reason: error.to_string() };
        let record = serde_json::to_value(record).map_err(unreadable)?;
        let kept = |file: &RunFile| RunArtifact { path: Path::new(ARTIFACTS).join(&file.place), ..file.entry(&folder) };
        let waiting = Waiting { store: self.store.clone(), record, files: files.iter().map(kept).collect() };
        let text = serde_json::to_string_pretty(&waiting).map_err(unreadable)?;
        write_atomically(&folder.join(RECORD), text.as_bytes())?;
        Ok(folder)
    }

    fn read(folder: &Path) -> Result<Option<(Waiting, RunRecord)>, TrackingError> {
        let path = folder.join(RECORD);
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |reason: String| TrackingError::Unreadable { path: path.clone(), reason };
        let text = fs::read_to_string(&path).map_err(TrackingError::io(&path, "read it"))?;
        let waiting: Waiting =
            serde_json::from_str(&text).map_err(|error| unreadable(format!("is not a run that waits: {error}")))?;
        let record = RunRecord::parse(&waiting.record.to_string()).map_err(unreadable)?;
        Ok(Some((waiting, record)))
    }

    fn lock_file(&self) -> Result<File, TrackingError> {
        fs::create_dir_all(&self.folder).map_err(TrackingError::io(&self.folder, "make the folder"))?;
        let path = self.folder.join(LOCK);
        File::create(&path).map_err(TrackingError::io(&path, "write it"))
    }
}
