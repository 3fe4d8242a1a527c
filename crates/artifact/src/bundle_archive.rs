//! A bundle as a byte-reproducible archive.

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

/// More entries than any bundle has, names that have an entry of their own included.
const LIMITS: PackedLimits = PackedLimits { entries: 40, bytes: MAX_BUNDLE_BYTES + (1 << 20) };

/// Writes the archive: the same bytes for the same files, on any machine.
///
/// # Errors
/// If it cannot be written, or would be larger than what is read.
pub fn write_bundle_archive(path: &Path, folder: &str, files: &BundleFiles) -> Result<FileEntry, ArtifactError> {
    let unfit = |reason: String| ArtifactError::NotABundle { path: path.to_owned(), reason };
    check_sizes(files).map_err(unfit)?;
    let bytes: u64 = files.values().map(|content| content.len() as u64).sum();
    let file = pack(path, folder, files, Compression::best()).map_err(ArtifactError::io(path, "write it"))?;
    if !is_too_dense(bytes, file.bytes()) {
        return file.commit();
    }
    // a forest of trees that are all alike: packed, it would be refused when it is read
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

/// Reads the files of an archive. It is gone through twice: first to see that its entries are what its manifest lists, and only then to
/// keep them.
///
/// # Errors
/// Says what is not as in a bundle.
pub(crate) fn read_archive(path: &Path) -> io::Result<BundleFiles> {
    let mut file = open_regular(path)?;
    let bytes = file.metadata()?.len();
    ensure(bytes <= MAX_ARCHIVE_BYTES, || format!("it has {bytes} bytes, an archive at most {MAX_ARCHIVE_BYTES}"))?;
    let (mut found, mut manifest) = (Inventory::new(), None);
    visit_files(&file, &mut |name, bytes, content| {
        let known =
            bundle_file_limit(name).map(|_| take_digest(content, bytes, (name == BUNDLE_MANIFEST).then_some(&mut manifest)));
        found.insert(name.to_owned(), known.transpose()?);
        Ok(())
    })?;
    BundleManifest::read(manifest.as_deref(), &found).map_err(io::Error::other)?;
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
    let mut check = BundleEntries::default();
    let visited = visit_packed(file, LIMITS, &mut |entry, content| {
        let parts: Vec<Component> = entry.path.components().collect();
        let [Component::Normal(folder), Component::Normal(name)] = parts.as_slice() else {
            return Err(io::Error::other(format!("{} leads outside", entry.path.display())));
        };
        let first = check.folder.get_or_insert_with(|| folder.to_string_lossy().into_owned());
        ensure(*folder == first.as_str(), || format!("{} lies in another folder than {first}", entry.path.display()))?;
        let name = check.add(Path::new(name), entry)?;
        visit(&name, entry.bytes, content)
    });
    visited.map(|_| ())
}

/// The entries of a bundle in a packed file, checked one by one.
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
    /// If it is no file, is there twice, or is larger than bundles have it.
    pub fn add(&mut self, name: &Path, entry: PackedEntry) -> io::Result<String> {
        ensure(!entry.is_folder, || format!("{} is not a file", entry.path.display()))?;
        let name = name.to_str().map(str::to_owned);
        let name = name.ok_or_else(|| io::Error::other(format!("{} is no name of a file", entry.path.display())))?;
        ensure(!self.names.contains(&name), || format!("{name} is there twice"))?;
        check_size(&name, entry.bytes, &mut self.total).map_err(io::Error::other)?;
        self.names.push(name.clone());
        Ok(name)
    }
}

/// Digest and size of what is read; it is kept, too, where `kept` is given.
fn take_digest(content: &mut dyn Read, bytes: u64, kept: Option<&mut Option<Vec<u8>>>) -> io::Result<(Digest, u64)> {
    if let Some(kept) = kept {
        let bytes = read_exactly(content, bytes)?;
        let found = (Digest::of_bytes(&bytes), bytes.len() as u64);
        *kept = Some(bytes);
        return Ok(found);
    }
    Digest::of_reader(content)
}

/// Reads a content of so many bytes, which are known to be within limits.
pub(crate) fn read_exactly(content: &mut dyn Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)?);
    let read = content.take(bytes).read_to_end(&mut kept)? as u64;
    ensure(read == bytes, || format!("it has {read} bytes where {bytes} are stated"))?;
    Ok(kept)
}
