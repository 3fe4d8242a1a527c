//! Reading of bundles, as folders or archives, from untrusted sources.

use std::path::Path;

use crate::{
    atomic_file::clear_abandoned_files,
    bounded::{open_regular, read_bounded},
    bundle_archive::read_archive,
    bundle_folder::{TEMPORARY_PREFIX, read_folder},
    bundle_limits::{BUNDLE_MANIFEST, BundleFiles, MAX_ARCHIVE_BYTES, bundle_file_limit},
    bundle_manifest::CONTENT_ID_DIGITS,
    digest::Digest,
    error::ArtifactError,
    temporary::clear_abandoned_folders,
};

/// Endings of files in a folder of bundles, after the content id.
const FILE_ENDINGS: [&str; 3] = [".tar.gz", ".card.html", ".card.md"];

/// Reads the files of a bundle, a folder or an archive. [`BundleManifest::from_files`](crate::bundle_manifest::BundleManifest::from_files)
/// validates them again.
///
/// # Errors
/// If it does not exist or is not a bundle. Sizes of files are limited, and paths must stay inside. No content is kept in memory before its
/// digest is checked.
pub fn read_bundle(path: &Path) -> Result<BundleFiles, ArtifactError> {
    if !path.exists() {
        let hint = "Name the folder of a bundle or its .tar.gz".to_owned();
        return Err(ArtifactError::Missing { path: path.to_owned(), hint });
    }
    let files = if path.is_dir() { read_folder(path) } else { read_archive(path) };
    files.map_err(|reason| ArtifactError::NotABundle { path: path.to_owned(), reason: reason.to_string() })
}

/// A digest that changes with the bundle at `path`: of a folder's manifest, or of the archive. It is cheap enough for polling and never
/// waits.
///
/// # Errors
/// If it does not exist, or is not a bundle.
pub fn bundle_digest(path: &Path) -> Result<Digest, ArtifactError> {
    if path.is_dir() {
        let limit = bundle_file_limit(BUNDLE_MANIFEST).unwrap_or(0);
        return Ok(Digest::of_bytes(&read_bounded(&path.join(BUNDLE_MANIFEST), limit)?));
    }
    let mut file = open_regular(path).map_err(ArtifactError::io(path, "read it"))?;
    let bytes = file.metadata().map_err(ArtifactError::io(path, "read it"))?.len();
    if bytes > MAX_ARCHIVE_BYTES {
        let reason = format!("it has {bytes} bytes; an archive has at most {MAX_ARCHIVE_BYTES}");
        return Err(ArtifactError::NotABundle { path: path.to_owned(), reason });
    }
    Ok(Digest::of_reader(&mut file).map_err(ArtifactError::io(path, "read it"))?.0)
}

/// Removes the half-written folders, archives and cards of killed programs from a folder of bundles.
pub fn clear_abandoned_bundles(folder: &Path) {
    clear_abandoned_folders(folder, TEMPORARY_PREFIX);
    clear_abandoned_files(folder, |name| {
        let name = name.strip_suffix(".manifest.json").unwrap_or(name);
        let bundle = FILE_ENDINGS.iter().find_map(|end| name.strip_suffix(end));
        let content_id = bundle.and_then(|bundle| bundle.rsplit_once('-')).map(|(_, content_id)| content_id);
        content_id.is_some_and(|id| id.len() == CONTENT_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
}

#[cfg(test)]
mod tests;
