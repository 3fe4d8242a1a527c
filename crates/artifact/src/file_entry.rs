//! Path, digest and size of a file, as in manifests.

use crate::{digest::Digest, error::ArtifactError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Path, digest and size of a file. In a stored manifest, the path is relative to the manifest's folder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileEntry {
    /// Path of the file.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: u64,
}

impl FileEntry {
    /// The entry of the file at `path` in its current state.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, ArtifactError> {
        let (digest, bytes) = Digest::of_file(path)?;
        Ok(Self { path: path.to_owned(), digest, bytes })
    }
}
