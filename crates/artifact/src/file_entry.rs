//! A file and its content, as manifests state it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, error::ArtifactError};

/// A file and its content. In a stored manifest the path is relative to the manifest's own folder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileEntry {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

impl FileEntry {
    /// The entry of the file at `path` as it is now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(path: &Path) -> Result<Self, ArtifactError> {
        let (digest, bytes) = Digest::of_file(path)?;
        Ok(Self { path: path.to_owned(), digest, bytes })
    }
}
