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

use crate::{
    entities::{
        run::Run,
        store::{Content, Owner, RunFile, RunStore, copy_all},
    },
    error::TrackingError,
};

/// Bytes of the record of a run: a search of thousands of trials has some megabytes.
const MAX_RECORD_BYTES: u64 = 256 << 20;
const RECORD: &str = "run.json";
const ARTIFACTS: &str = "artifacts";
const MODELS: &str = "models";
const LOCK: &str = ".lock";

/// The folder where runs wait, and the store they wait for.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    store: String,
}

/// A run that waits, as written to disk. Version 1 held the record of a training in place of the run.
#[derive(Deserialize, Serialize)]
struct Waiting {
    #[serde(default)]
    format_version: u32,
    /// The store that could not be written.
    store: String,
    /// The run.
    #[serde(default)]
    run: Option<Run>,
    /// The run, in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
    /// Its files, as seen from the folder.
    files: Vec<WaitingFile>,
}

/// A file of a run that waits.
#[derive(Deserialize, Serialize)]
struct WaitingFile {
    /// The logged model that it belongs to; else it is the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(flatten)]
    file: RunArtifact,
}

const VERSION: u32 = 2;

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

    /// The file in the spool `folder` that is locked while someone writes there.
    pub fn lock_path(folder: &Path) -> PathBuf {
        folder.join(LOCK)
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
            let (waiting, run) = waiting;
            if waiting.store != self.store {
                delivered.elsewhere.push((folder, waiting.store));
                continue;
            }
            let file = |WaitingFile { model, file }: WaitingFile| RunFile {
                owner: model.map_or(Owner::Run, Owner::Model),
                content: Content::File(FileEntry { path: folder.join(&file.path), digest: file.digest, bytes: file.bytes }),
                place: file.place,
            };
            let files: Vec<RunFile> = waiting.files.into_iter().map(file).collect();
            match store.end(&run, &files) {
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
    pub fn keep(&self, run: &Run, files: &[RunFile]) -> Result<PathBuf, TrackingError> {
        let lock = self.lock_file()?;
        lock.lock_shared().map_err(TrackingError::io(&self.folder, "lock it"))?;
        let folder = self.folder.join(&run.run_id);
        copy_all(files, &|owner| folder.join(Self::below(owner)))?;
        let kept = |file: &RunFile| WaitingFile {
            model: match &file.owner {
                Owner::Run => None,
                Owner::Model(id) => Some(id.clone()),
            },
            file: RunArtifact { path: Self::below(&file.owner).join(&file.place), ..file.entry(&folder) },
        };
        let waiting = Waiting {
            format_version: VERSION,
            store: self.store.clone(),
            run: Some(run.clone()),
            record: None,
            files: files.iter().map(kept).collect(),
        };
        let text = serde_json::to_string_pretty(&waiting)
            .map_err(|error| TrackingError::Unreadable { path: folder.clone(), reason: error.to_string() })?;
        write_atomically(&folder.join(RECORD), text.as_bytes())?;
        Ok(folder)
    }

    /// Whether the run waits here, whole.
    pub fn holds(&self, run_id: &str) -> bool {
        self.folder.join(run_id).join(RECORD).exists()
    }

    /// Where the files of an owner wait.
    fn below(owner: &Owner) -> PathBuf {
        match owner {
            Owner::Run => PathBuf::from(ARTIFACTS),
            Owner::Model(id) => Path::new(MODELS).join(id),
        }
    }

    fn read(folder: &Path) -> Result<Option<(Waiting, Run)>, TrackingError> {
        let path = folder.join(RECORD);
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |reason: String| TrackingError::Unreadable { path: path.clone(), reason };
        let text = artifact::read_bounded(&path, MAX_RECORD_BYTES)?;
        let mut waiting: Waiting =
            serde_json::from_slice(&text).map_err(|error| unreadable(format!("is not a run that waits: {error}")))?;
        if waiting.format_version > VERSION {
            let found = waiting.format_version;
            return Err(unreadable(format!(
                "has format version {found}; this program reads version {VERSION} and older. Use a newer program"
            )));
        }
        let run = match (waiting.run.take(), &waiting.record) {
            (Some(run), _) => run,
            (None, Some(record)) => Run::of(&RunRecord::parse(&record.to_string()).map_err(unreadable)?),
            (None, None) => return Err(unreadable("is not a run that waits: it has neither run nor record".into())),
        };
        Ok(Some((waiting, run)))
    }

    fn lock_file(&self) -> Result<File, TrackingError> {
        fs::create_dir_all(&self.folder).map_err(TrackingError::io(&self.folder, "make the folder"))?;
        let path = Self::lock_path(&self.folder);
        File::create(&path).map_err(TrackingError::io(&path, "write it"))
    }
}
