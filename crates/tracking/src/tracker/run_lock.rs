//! Which of the runs under way still have a program behind them.
//!
//! Each has a file that its program keeps locked; the lock goes with the program, however it ends.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::TrackingError;

/// The note of a run that was killed.
pub(crate) const KILLED_NOTE: &str = "The program was killed before it came to its end.";

/// The file of a run under way, locked.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    file: File,
}

impl RunLock {
    /// Marks a run as under way, with what must be known to mark it as killed.
    pub(crate) fn acquire(folder: &Path, run_id: &str, content: &str) -> Result<Self, TrackingError> {
        fs::create_dir_all(folder).map_err(TrackingError::io(folder, "make the folder"))?;
        let path = folder.join(run_id);
        loop {
            let mut file = File::create(&path).map_err(TrackingError::io(&path, "write it"))?;
            file.lock().map_err(TrackingError::io(&path, "lock it"))?;
            file.write_all(content.as_bytes()).map_err(TrackingError::io(&path, "write it"))?;
            // someone who came between the two took it for abandoned, and removed it before letting go of the lock
            if path.exists() {
                return Ok(Self { path, file });
            }
        }
    }

    /// The marks in `folder` whose program is gone, held by us.
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

    /// The run that it is of.
    pub(crate) fn run_id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What was written into it.
    pub(crate) fn content(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// The run came to its end.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(&self.path);
        drop(self.file);
    }
}
