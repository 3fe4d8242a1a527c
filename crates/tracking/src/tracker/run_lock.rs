//! Locks of running runs, which show whether their programs still run.
//! Every run has a file that its program keeps locked. The operating system releases the lock when the program ends.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::TrackingError;

/// The note of a killed run.
pub(crate) const KILLED_NOTE: &str = "The program was killed before the run ended.";

/// The locked file of a running run.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    file: File,
}

impl RunLock {
    /// Locks the file of a run; `content` is what is needed to mark the run as killed.
    pub(crate) fn acquire(folder: &Path, run_id: &str, content: &str) -> Result<Self, TrackingError> {
        fs::create_dir_all(folder).map_err(TrackingError::io(folder, "create the folder"))?;
        let path = folder.join(run_id);
        loop {
            let mut file = File::create(&path).map_err(TrackingError::io(&path, "write it"))?;
            file.lock().map_err(TrackingError::io(&path, "lock it"))?;
            file.write_all(content.as_bytes()).map_err(TrackingError::io(&path, "write it"))?;
            // another program may have removed the file as abandoned before it was locked
            if path.exists() {
                return Ok(Self { path, file });
            }
        }
    }

    /// The files in `folder` whose programs ended, now locked by this program.
    pub(crate) fn abandoned_in(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let path = entry.path();
                let file = File::open(&path).ok()?;
                file.try_lock().ok()?;
                Some(Self { path, file })
            })
            .collect()
    }

    /// The id of the run.
    pub(crate) fn run_id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The content of the file.
    pub(crate) fn content(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// Removes the file: the run ended.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(&self.path);
        drop(self.file);
    }
}
