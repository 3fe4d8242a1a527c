//! What a store of runs is.

use std::{
    fs::File,
    io::{self, Write},
    path::{Component, Path},
};

use artifact::{AtomicFile, FileEntry, RunArtifact};

use crate::{
    entities::run::{Metric, Run},
    error::TrackingError,
};

/// Bytes of a file of a model that no bundle has.
const MAX_MODEL_FILE_BYTES: u64 = 1 << 30;

/// A place that keeps runs.
pub trait RunStore: std::fmt::Debug + Send + Sync {
    /// Its address, as MLflow writes it.
    fn uri(&self) -> String;

    /// Notes that a run is under way: `run` says who runs what, and has no figures yet. Returns the id of its experiment.
    ///
    /// # Errors
    /// If the store cannot be written; it is then as it was.
    fn begin(&self, run: &Run) -> Result<RunReference, TrackingError>;

    /// Goes on with a run that was begun before, perhaps by a program that is gone: as [`begin`](Self::begin), but a run that is there is not
    /// made again, and one that is finished stays so.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    fn resume(&self, run: &Run) -> Result<RunReference, TrackingError>;

    /// Adds figures to a run under way.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn log_metrics(&self, run: &Run, metrics: &[Metric]) -> Result<(), TrackingError>;

    /// Records a run that came to its end, well or not, with its files. Recording it again changes nothing, and a run that
    /// was never begun is recorded whole.
    ///
    /// # Errors
    /// If the store cannot be written, or a file cannot be read. What is there of the run then is completed by the next call.
    fn end(&self, run: &Run, files: &[RunFile]) -> Result<RunReference, TrackingError>;

    /// Whether the store has the run, whole and well ended.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn is_finished(&self, run: &Run) -> Result<bool, TrackingError>;

    /// Marks the runs as killed whose program is gone without having ended them; returns their ids.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn mark_orphaned_runs_killed(&self) -> Result<Vec<String>, TrackingError>;
}

/// Where a run is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RunReference {
    /// The id of its experiment.
    pub experiment_id: String,
    /// Its id in that store.
    pub run_id: String,
    /// A page that shows it, if the store has pages.
    pub page: Option<String>,
    /// The versions that were registered, with the name of each.
    pub versions: Vec<(String, String)>,
    /// A second copy of something may yet turn up: a request was not answered in time, and was made again.
    pub may_have_duplicates: bool,
}

/// To whom a file belongs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ArtifactOwner {
    /// The run.
    #[default]
    Run,
    /// The logged model of this id.
    Model(String),
}

/// A file of a run: its place among the artifacts of its owner, and what is in it.
#[derive(Clone, Debug)]
pub struct RunFile {
    /// To whom it belongs.
    pub owner: ArtifactOwner,
    /// Such as `model/model.bin`.
    pub artifact_path: String,
    /// What is in it.
    pub content: ArtifactContent,
}

/// What is in a file.
#[derive(Clone, Debug)]
pub enum ArtifactContent {
    /// The content of this file, as it was when its digest was taken.
    File(FileEntry),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl RunFile {
    /// A file of the run itself.
    pub fn of_run(artifact_path: impl Into<String>, content: ArtifactContent) -> Self {
        Self { owner: ArtifactOwner::Run, artifact_path: artifact_path.into(), content }
    }

    /// A file of one of its models.
    pub fn of_model(model_id: &str, artifact_path: impl Into<String>, content: ArtifactContent) -> Self {
        Self { owner: ArtifactOwner::Model(model_id.to_owned()), artifact_path: artifact_path.into(), content }
    }

    /// The file's entry in a record that lies in `folder`. What is on no disk has its place for a path.
    pub fn entry(&self, folder: &Path) -> RunArtifact {
        let (path, digest, bytes) = match &self.content {
            ArtifactContent::File(file) => (artifact::relative_path(&file.path, folder), file.digest.clone(), file.bytes),
            ArtifactContent::Bytes(bytes) => {
                ((&self.artifact_path).into(), artifact::Digest::of_bytes(bytes), bytes.len() as u64)
            }
        };
        RunArtifact { place: self.artifact_path.clone(), path, digest, bytes }
    }

    /// Its place, if that lies below the folder of its owner.
    pub(crate) fn validated_path(&self) -> Result<&Path, TrackingError> {
        let artifact_path = Path::new(&self.artifact_path);
        let plain = artifact_path.components().all(|part| matches!(part, Component::Normal(_)));
        if plain && !self.artifact_path.is_empty() {
            Ok(artifact_path)
        } else {
            Err(TrackingError::RunReference { artifact_path: self.artifact_path.clone() })
        }
    }

    /// Its content, which must be what it was when its digest was taken.
    pub(crate) fn read(&self) -> Result<Vec<u8>, TrackingError> {
        match &self.content {
            ArtifactContent::Bytes(bytes) => Ok(bytes.clone()),
            ArtifactContent::File(file) => {
                let bytes = std::fs::read(&file.path).map_err(TrackingError::io(&file.path, "read it"))?;
                if artifact::Digest::of_bytes(&bytes) == file.digest {
                    Ok(bytes)
                } else {
                    Err(TrackingError::ChangedFile { path: file.path.clone() })
                }
            }
        }
    }

    /// Copies the file to its place below `folder`, whole or not at all.
    pub(crate) fn copy_below(&self, folder: &Path) -> Result<(), TrackingError> {
        let to = folder.join(self.validated_path()?);
        let mut copy = AtomicFile::create(&to)?;
        match &self.content {
            ArtifactContent::File(file) => {
                let mut source = File::open(&file.path).map_err(TrackingError::io(&file.path, "read it"))?;
                io::copy(&mut source, &mut copy).map_err(TrackingError::io(&to, "write it"))?;
                if copy.commit()?.digest != file.digest {
                    let _ = std::fs::remove_file(&to);
                    return Err(TrackingError::ChangedFile { path: file.path.clone() });
                }
            }
            ArtifactContent::Bytes(bytes) => {
                copy.write_all(bytes).map_err(TrackingError::io(&to, "write it"))?;
                copy.commit()?;
            }
        }
        Ok(())
    }
}

/// The largest size in bytes of a model's file that is fetched: the one that it may have in a bundle.
pub(crate) fn max_file_bytes(file: &str) -> u64 {
    let name = file.rsplit('/').next().unwrap_or(file);
    artifact::bundle_file_limit(name).unwrap_or(MAX_MODEL_FILE_BYTES)
}

/// Copies files to their places below the folder of their owner, several at a time: a disk syncs them as fast as one.
pub(crate) fn copy_all(
    files: &[RunFile],
    folder: &(dyn Fn(&ArtifactOwner) -> std::path::PathBuf + Sync),
) -> Result<(), TrackingError> {
    std::thread::scope(|scope| {
        let copies: Vec<_> = files.iter().map(|file| scope.spawn(|| file.copy_below(&folder(&file.owner)))).collect();
        copies.into_iter().try_for_each(|copy| copy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
