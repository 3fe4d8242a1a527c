//! What a store of runs is.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use artifact::{AtomicFile, FileEntry, RunArtifact, RunRecord};

use crate::TrackingError;

/// A place that keeps runs.
pub trait RunStore: std::fmt::Debug {
    /// Its address, as MLflow writes it.
    fn uri(&self) -> String;

    /// Notes that a run is under way: `record` says who runs what, and has no figures yet. Returns the id of its experiment.
    ///
    /// # Errors
    /// If the store cannot be written; it is then as it was.
    fn begin(&self, record: &RunRecord) -> Result<String, TrackingError>;

    /// Records a run that came to its end, well or not, with its files. Recording it again changes nothing, and a run that
    /// was never begun is recorded whole. Returns the id of its experiment.
    ///
    /// # Errors
    /// If the store cannot be written, or a file cannot be read; the run is then as it was.
    fn end(&self, record: &RunRecord, files: &[RunFile]) -> Result<String, TrackingError>;

    /// Marks the runs as killed whose program is gone without having ended them; returns their ids.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn reap(&self) -> Result<Vec<String>, TrackingError>;
}

/// A file of a run: its place among the run's artifacts, and what is in it.
#[derive(Clone, Debug)]
pub struct RunFile {
    /// Such as `model/model.bin`.
    pub place: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// The content of this file, as it was when its digest was taken.
    File(FileEntry),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl RunFile {
    /// The file's entry in a record that lies in `folder`.
    pub fn entry(&self, folder: &Path) -> RunArtifact {
        let (path, digest, bytes) = match &self.content {
            Content::File(file) => (file.path.clone(), file.digest.clone(), file.bytes),
            Content::Bytes(bytes) => {
                let name = self.place.rsplit('/').next().unwrap_or_default();
                (folder.join(name), artifact::Digest::of_bytes(bytes), bytes.len() as u64)
            }
        };
        RunArtifact { place: self.place.clone(), path: artifact::relative_path(&path, folder), digest, bytes }
    }

    /// Copies the file to its place below `folder`, whole or not at all.
    pub(crate) fn copy_below(&self, folder: &Path) -> Result<(), TrackingError> {
        let place = Path::new(&self.place);
        let plain = place.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || self.place.is_empty() {
            return Err(TrackingError::Place { place: self.place.clone() });
        }
        let to = folder.join(place);
        let mut copy = AtomicFile::create(&to)?;
        match &self.content {
            Content::File(file) => {
                let mut source = File::open(&file.path).map_err(TrackingError::io(&file.path, "read it"))?;
                io::copy(&mut source, &mut copy).map_err(TrackingError::io(&to, "write it"))?;
                if copy.commit()?.digest != file.digest {
                    let _ = std::fs::remove_file(&to);
                    return Err(TrackingError::Changed { path: file.path.clone() });
                }
            }
            Content::Bytes(bytes) => {
                copy.write_all(bytes).map_err(TrackingError::io(&to, "write it"))?;
                copy.commit()?;
            }
        }
        Ok(())
    }
}

/// Copies files to their places below `folder`, several at a time: a disk syncs them as fast as one.
pub(crate) fn copy_all(files: &[RunFile], folder: &Path) -> Result<(), TrackingError> {
    std::thread::scope(|scope| {
        let copies: Vec<_> = files.iter().map(|file| scope.spawn(|| file.copy_below(folder))).collect();
        copies.into_iter().try_for_each(|copy| copy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// A new run id: 32 hexadecimal digits, as MLflow makes them.
pub fn new_run_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
