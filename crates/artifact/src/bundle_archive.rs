//! Bundles as byte-reproducible archives.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::{Component, Path},
};

use flate2::{Compression, GzBuilder};

use crate::{
    atomic_file::AtomicFile,
    bounded::open_regular,
    bundle_limits::{
        BUNDLE_MANIFEST, BundleFiles, MAX_ARCHIVE_BYTES, MAX_BUNDLE_BYTES, bundle_file_limit, check_size, check_sizes,
    },
    bundle_manifest::{BundleManifest, Inventory},
    digest::Digest,
    error::ArtifactError,
    file_entry::FileEntry,
    packed::{PackedEntry, PackedLimits, ensure, is_too_dense, visit_packed},
};

/// Limits of an archive: more entries than any bundle has, including entries for names.
const LIMITS: PackedLimits = PackedLimits { entries: 40, bytes: MAX_BUNDLE_BYTES + (1 << 20) };

/// Writes the archive: the same bytes for the same files on every machine.
///
/// # Errors
/// If it cannot be written, or would exceed the limits of reading.
pub fn write_bundle_archive(path: &Path, folder: &str, files: &BundleFiles) -> Result<FileEntry, ArtifactError> {
    let invalid = |reason: String| ArtifactError::NotABundle { path: path.to_owned(), reason };
    check_sizes(files).map_err(invalid)?;
    let bytes: u64 = files.values().map(|content| content.len() as u64).sum();
    let file = pack(path, folder, files, Compression::best()).map_err(ArtifactError::io(path, "write it"))?;
    if !is_too_dense(bytes, file.bytes()) {
        return file.commit();
    }
    // extremely repetitive files would be rejected when read, so they are stored without compression
    drop(file);
    pack(path, folder, files, Compression::none()).map_err(ArtifactError::io(path, "write it"))?.commit()
}

fn pack(path: &Path, folder: &str, files: &BundleFiles, level: Compression) -> io::Result<AtomicFile> {
    let out = AtomicFile::create(path).map_err(io::Error::other)?;
    // no time, no name, "unknown" system
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, level);
    let mut archive = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish)
}

/// Reads the files of an archive in two passes: the first compares the entries with the manifest, the second keeps them.
///
/// # Errors
/// If the archive is not a valid bundle; the message says why.
pub(crate) fn read_archive(path: &Path) -> io::Result<BundleFiles> {
    let mut file = open_regular(path)?;
    let bytes = file.metadata()?.len();
    ensure(bytes <= MAX_ARCHIVE_BYTES, || format!("it has {bytes} bytes; an archive has at most {MAX_ARCHIVE_BYTES}"))?;
    let (mut inventory, mut manifest) = (Inventory::new(), None);
    visit_files(&file, &mut |name, bytes, content| {
        let known =
            bundle_file_limit(name).map(|_| read_digest(content, bytes, (name == BUNDLE_MANIFEST).then_some(&mut manifest)));
        inventory.insert(name.to_owned(), known.transpose()?);
        Ok(())
    })?;
    BundleManifest::read(manifest.as_deref(), &inventory).map_err(io::Error::other)?;
    file.rewind()?;
    let mut files = BundleFiles::new();
    visit_files(&file, &mut |name, bytes, content| {
        files.insert(name.to_owned(), read_exactly(content, bytes)?);
        Ok(())
    })?;
    Ok(files)
}

/// Calls `visit` with name, size and content of each file of an archive.
fn visit_files(file: &File, visit: &mut dyn FnMut(&str, u64, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let mut entries = BundleEntries::default();
    let visited = visit_packed(file, LIMITS, &mut |entry, content| {
        let parts: Vec<Component> = entry.path.components().collect();
        let [Component::Normal(folder), Component::Normal(name)] = parts.as_slice() else {
            return Err(io::Error::other(format!("{} is outside the folder", entry.path.display())));
        };
        let first = entries.folder.get_or_insert_with(|| folder.to_string_lossy().into_owned());
        ensure(*folder == first.as_str(), || format!("{} is not in the folder {first}", entry.path.display()))?;
        let name = entries.add(Path::new(name), entry)?;
        visit(&name, entry.bytes, content)
    });
    visited.map(|_| ())
}

/// Validation of the entries of a bundle in a packed file.
#[derive(Debug, Default)]
pub struct BundleEntries {
    folder: Option<String>,
    names: Vec<String>,
    total: u64,
}

impl BundleEntries {
    /// Checks that an entry can be the file `name` of a bundle, before its content is read; returns the name.
    ///
    /// # Errors
    /// If it is not a file, is a duplicate, or is too large.
    pub fn add(&mut self, name: &Path, entry: PackedEntry) -> io::Result<String> {
        ensure(!entry.is_folder, || format!("{} is not a file", entry.path.display()))?;
        let name = name.to_str().map(str::to_owned);
        let name = name.ok_or_else(|| io::Error::other(format!("{} is not a valid file name", entry.path.display())))?;
        ensure(!self.names.contains(&name), || format!("{name} is a duplicate"))?;
        check_size(&name, entry.bytes, &mut self.total).map_err(io::Error::other)?;
        self.names.push(name.clone());
        Ok(name)
    }
}

/// Digest and size of the content; the content is stored in `kept`, if given.
fn read_digest(content: &mut dyn Read, bytes: u64, kept: Option<&mut Option<Vec<u8>>>) -> io::Result<(Digest, u64)> {
    if let Some(kept) = kept {
        let bytes = read_exactly(content, bytes)?;
        let inventory = (Digest::of_bytes(&bytes), bytes.len() as u64);
        *kept = Some(bytes);
        return Ok(inventory);
    }
    Digest::of_reader(content)
}

/// Reads a content of `bytes` bytes, which are within the limits.
pub(crate) fn read_exactly(content: &mut dyn Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)?);
    let read = content.take(bytes).read_to_end(&mut kept)? as u64;
    ensure(read == bytes, || format!("it has {read} bytes instead of {bytes}"))?;
    Ok(kept)
}
