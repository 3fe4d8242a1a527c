//! The interface of a store of runs, and the files of a run.

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

/// The size limit in bytes of a model's file that bundles do not have.
const MAX_MODEL_FILE_BYTES: u64 = 1 << 30;

/// A store of runs.
pub trait RunStore: std::fmt::Debug + Send + Sync {
    /// The address of the store, as MLflow writes it.
    fn uri(&self) -> String;

    /// Creates a run with the status `RUNNING`; `run` has no metrics yet.
    ///
    /// # Errors
    /// If the store cannot be written; it is then unchanged.
    fn begin(&self, run: &Run) -> Result<RunReference, TrackingError>;

    /// Resumes a run that may exist already, for example of a program that was killed. It is created only if it does not exist, and a
    /// finished run stays finished.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    fn resume(&self, run: &Run) -> Result<RunReference, TrackingError>;

    /// Adds metrics to a running run.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn log_metrics(&self, run: &Run, metrics: &[Metric]) -> Result<(), TrackingError>;

    /// Records a run that finished or failed, with its files. Recording it again changes nothing. A run that was never begun is
    /// created.
    ///
    /// # Errors
    /// If the store cannot be written, or a file cannot be read. The next call completes the run.
    fn end(&self, run: &Run, files: &[RunFile]) -> Result<RunReference, TrackingError>;

    /// Whether the store has the complete, finished run.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn is_finished(&self, run: &Run) -> Result<bool, TrackingError>;

    /// Marks runs as killed whose program ended without ending them; returns their ids.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn mark_orphaned_runs_killed(&self) -> Result<Vec<String>, TrackingError>;
}

/// The ids of a recorded run in its store.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RunReference {
    /// The id of the experiment.
    pub experiment_id: String,
    /// The id of the run in the store.
    pub run_id: String,
    /// The address of a page that shows the run, if the store has pages.
    pub page: Option<String>,
    /// The registered versions: name and number.
    pub versions: Vec<(String, String)>,
    /// Whether the server may hold duplicates, because a request was repeated after its response was lost.
    pub may_have_duplicates: bool,
}

/// The owner of a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ArtifactOwner {
    /// The run.
    #[default]
    Run,
    /// The logged model of this id.
    Model(String),
}

/// A file of a run or of one of its models.
#[derive(Clone, Debug)]
pub struct RunFile {
    /// The owner.
    pub owner: ArtifactOwner,
    /// The path among the artifacts of the owner, such as `model/model.bin`.
    pub artifact_path: String,
    /// The content.
    pub content: ArtifactContent,
}

/// The content of a file.
#[derive(Clone, Debug)]
pub enum ArtifactContent {
    /// The content of this file on the disk, with the digest of the entry.
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

    /// The entry of the file in a record in `folder`. The path of a file that is not on the disk is its artifact path.
    pub fn entry(&self, folder: &Path) -> RunArtifact {
        let (path, digest, bytes) = match &self.content {
            ArtifactContent::File(file) => (artifact::relative_path(&file.path, folder), file.digest.clone(), file.bytes),
            ArtifactContent::Bytes(bytes) => {
                ((&self.artifact_path).into(), artifact::Digest::of_bytes(bytes), bytes.len() as u64)
            }
        };
        RunArtifact { place: self.artifact_path.clone(), path, digest, bytes }
    }

    /// The artifact path.
    ///
    /// # Errors
    /// If it leads out of the owner's folder.
    pub(crate) fn validated_path(&self) -> Result<&Path, TrackingError> {
        let artifact_path = Path::new(&self.artifact_path);
        let plain = artifact_path.components().all(|part| matches!(part, Component::Normal(_)));
        if plain && !self.artifact_path.is_empty() {
            Ok(artifact_path)
        } else {
            Err(TrackingError::RunReference { artifact_path: self.artifact_path.clone() })
        }
    }

    /// The content.
    ///
    /// # Errors
    /// If the file cannot be read, or was changed since its digest was computed.
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

    /// Copies the file below `folder`, completely or not at all.
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

/// The size limit in bytes of a fetched file of a model: the limit of bundles.
pub(crate) fn max_file_bytes(file: &str) -> u64 {
    let name = file.rsplit('/').next().unwrap_or(file);
    artifact::bundle_file_limit(name).unwrap_or(MAX_MODEL_FILE_BYTES)
}

/// Copies files below the folders of their owners, in parallel: a disk syncs several files as fast as one.
pub(crate) fn copy_all(
    files: &[RunFile],
    folder: &(dyn Fn(&ArtifactOwner) -> std::path::PathBuf + Sync),
) -> Result<(), TrackingError> {
    std::thread::scope(|scope| {
        let copies: Vec<_> = files.iter().map(|file| scope.spawn(|| file.copy_below(&folder(&file.owner)))).collect();
        copies.into_iter().try_for_each(|copy| copy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
