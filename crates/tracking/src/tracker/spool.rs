//! The spool: runs wait here until their store can be written. A run is a folder named by its id. Its files are below `artifacts`;
//! `run.json` is written last and removed first, so that a folder with it is complete.

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
        store::{ArtifactContent, ArtifactOwner, RunFile, RunStore, copy_all},
    },
    error::TrackingError,
};

/// Bytes of a stored run at most: a search with thousands of trials has some megabytes.
const MAX_RECORD_BYTES: u64 = 256 << 20;
const RUN_FILE: &str = "run.json";
const ARTIFACTS_FOLDER: &str = "artifacts";
const MODELS_FOLDER: &str = "models";
const LOCK_FILE: &str = ".lock";

/// The folder of waiting runs, and the store that they wait for.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    store: String,
}

/// A waiting run on the disk. Version 1 held the record of a training instead of the run.
#[derive(Deserialize, Serialize)]
struct SpooledRun {
    #[serde(default)]
    format_version: u32,
    /// The address of the store that could not be written.
    store: String,
    /// The run.
    #[serde(default)]
    run: Option<Run>,
    /// The run, in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
    /// Its files, relative to the folder.
    files: Vec<SpooledFile>,
}

/// A file of a waiting run.
#[derive(Deserialize, Serialize)]
struct SpooledFile {
    /// The logged model that owns the file; `None` for a file of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(flatten)]
    file: RunArtifact,
}

const SPOOL_FORMAT_VERSION: u32 = 2;

/// The result of a delivery.
#[derive(Debug, Default)]
pub struct DeliverySummary {
    /// The number of runs that were recorded.
    pub runs: usize,
    /// Runs that wait for another store: folder and store.
    pub elsewhere: Vec<(PathBuf, String)>,
    /// Runs that could not be read or recorded, with the reason.
    pub errors: Vec<String>,
}

impl Spool {
    /// The spool in `folder` for the store with the address `store`. It does not access the disk yet.
    pub fn new(folder: &Path, store: &str) -> Self {
        Self { folder: folder.to_owned(), store: store.to_owned() }
    }

    /// The file in the spool `folder` that is locked while a program writes there.
    pub fn lock_path(folder: &Path) -> PathBuf {
        folder.join(LOCK_FILE)
    }

    /// Records the runs that wait for this spool's store in `store`, and removes them.
    ///
    /// # Errors
    /// If the folder cannot be read. A run that cannot be recorded stays, and is listed in `errors`.
    pub fn deliver(&self, store: &dyn RunStore) -> Result<DeliverySummary, TrackingError> {
        let mut summary = DeliverySummary::default();
        if !self.folder.exists() {
            return Ok(summary);
        }
        let lock = self.lock_file()?;
        if lock.try_lock().is_err() {
            // another program delivers or spools a run; the next call delivers the rest
            return Ok(summary);
        }
        let entries = fs::read_dir(&self.folder).map_err(TrackingError::io(&self.folder, "read it"))?;
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        for folder in folders {
            let spooled = match Self::read(&folder) {
                Ok(Some(spooled)) => spooled,
                Ok(None) => {
                    // no program is writing it, because the lock was free
                    let _ = fs::remove_dir_all(&folder);
                    continue;
                }
                Err(error) => {
                    summary.errors.push(error.to_string());
                    continue;
                }
            };
            let (spooled, run) = spooled;
            if spooled.store != self.store {
                summary.elsewhere.push((folder, spooled.store));
                continue;
            }
            let file = |SpooledFile { model, file }: SpooledFile| RunFile {
                owner: model.map_or(ArtifactOwner::Run, ArtifactOwner::Model),
                content: ArtifactContent::File(FileEntry {
                    path: folder.join(&file.path),
                    digest: file.digest,
                    bytes: file.bytes,
                }),
                artifact_path: file.place,
            };
            let files: Vec<RunFile> = spooled.files.into_iter().map(file).collect();
            match store.end(&run, &files) {
                Ok(_) => {
                    summary.runs += 1;
                    let gone = fs::remove_file(folder.join(RUN_FILE)).and_then(|()| fs::remove_dir_all(&folder));
                    gone.map_err(TrackingError::io(&folder, "remove it"))?;
                }
                Err(error) => summary.errors.push(error.to_string()),
            }
        }
        Ok(summary)
    }

    /// Stores a run that ended, with its files; returns its folder.
    ///
    /// # Errors
    /// If the folder cannot be written, or a file cannot be read.
    pub fn store_run(&self, run: &Run, files: &[RunFile]) -> Result<PathBuf, TrackingError> {
        let lock = self.lock_file()?;
        lock.lock_shared().map_err(TrackingError::io(&self.folder, "lock it"))?;
        let folder = self.folder.join(&run.run_id);
        copy_all(files, &|owner| folder.join(Self::folder_of(owner)))?;
        let spooled_file = |file: &RunFile| SpooledFile {
            model: match &file.owner {
                ArtifactOwner::Run => None,
                ArtifactOwner::Model(id) => Some(id.clone()),
            },
            file: RunArtifact { path: Self::folder_of(&file.owner).join(&file.artifact_path), ..file.entry(&folder) },
        };
        let spooled = SpooledRun {
            format_version: SPOOL_FORMAT_VERSION,
            store: self.store.clone(),
            run: Some(run.clone()),
            record: None,
            files: files.iter().map(spooled_file).collect(),
        };
        let text = serde_json::to_string_pretty(&spooled)
            .map_err(|error| TrackingError::InvalidFile { path: folder.clone(), reason: error.to_string() })?;
        write_atomically(&folder.join(RUN_FILE), text.as_bytes())?;
        Ok(folder)
    }

    /// Whether the complete run waits here.
    pub fn contains(&self, run_id: &str) -> bool {
        self.folder.join(run_id).join(RUN_FILE).exists()
    }

    /// The folder of an owner's files.
    fn folder_of(owner: &ArtifactOwner) -> PathBuf {
        match owner {
            ArtifactOwner::Run => PathBuf::from(ARTIFACTS_FOLDER),
            ArtifactOwner::Model(id) => Path::new(MODELS_FOLDER).join(id),
        }
    }

    fn read(folder: &Path) -> Result<Option<(SpooledRun, Run)>, TrackingError> {
        let path = folder.join(RUN_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |reason: String| TrackingError::InvalidFile { path: path.clone(), reason };
        let text = artifact::read_bounded(&path, MAX_RECORD_BYTES)?;
        let mut spooled: SpooledRun =
            serde_json::from_slice(&text).map_err(|error| unreadable(format!("is not a waiting run: {error}")))?;
        if spooled.format_version > SPOOL_FORMAT_VERSION {
            let found = spooled.format_version;
            return Err(unreadable(format!(
                "has format version {found}; this program reads version {SPOOL_FORMAT_VERSION} and older. Use a newer program"
            )));
        }
        let run = match (spooled.run.take(), &spooled.record) {
            (Some(run), _) => run,
            (None, Some(record)) => Run::from_record(&RunRecord::parse(&record.to_string()).map_err(unreadable)?),
            (None, None) => return Err(unreadable("is not a waiting run: it has neither run nor record".into())),
        };
        Ok(Some((spooled, run)))
    }

    fn lock_file(&self) -> Result<File, TrackingError> {
        fs::create_dir_all(&self.folder).map_err(TrackingError::io(&self.folder, "create the folder"))?;
        let path = Self::lock_path(&self.folder);
        File::create(&path).map_err(TrackingError::io(&path, "write it"))
    }
}
