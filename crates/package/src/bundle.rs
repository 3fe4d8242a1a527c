//! A bundle: files with digests, as a folder and as a byte-reproducible archive.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path},
};

use anyhow::{Context, bail, ensure};
use artifact::{ArtifactError, AtomicFile, Digest, FileEntry};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde::{Deserialize, Serialize};

use crate::lineage::Link;

/// The file that lists the others.
pub(crate) const MANIFEST: &str = "manifest.json";
/// More bytes than this are not unpacked.
const MAX_BYTES: u64 = 2 << 30;
/// More files than this are not unpacked.
const MAX_FILES: usize = 100;
const BUNDLE_VERSION: u32 = 1;

/// `manifest.json` of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct BundleManifest {
    /// The format's version.
    pub(crate) format_version: u32,
    /// The model's name.
    pub(crate) name: String,
    /// Twelve hexadecimal digits that stand for the content of every file.
    pub(crate) content_id: String,
    /// The fingerprint of the raw table's schema.
    pub(crate) schema: String,
    /// The stages, model first.
    pub(crate) lineage: Vec<Link>,
    /// Every other file: name, digest, size.
    pub(crate) files: Vec<FileEntry>,
}

/// The files of a bundle by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl BundleManifest {
    /// The manifest of `files`.
    pub(crate) fn new(name: &str, schema: &str, lineage: Vec<Link>, files: &Files) -> Self {
        let entry = |(name, bytes): (&String, &Vec<u8>)| FileEntry {
            path: name.into(),
            digest: Digest::of_bytes(bytes),
            bytes: bytes.len() as u64,
        };
        let files: Vec<FileEntry> = files.iter().map(entry).collect();
        let content_id = content_id(&files);
        Self { format_version: BUNDLE_VERSION, name: name.into(), content_id, schema: schema.into(), lineage, files }
    }

    /// The bundle's folder name.
    pub(crate) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.content_id)
    }

    /// Checks that `files` are those listed, and nothing else.
    ///
    /// # Errors
    /// Names the file at fault.
    pub(crate) fn check(&self, files: &Files) -> Result<(), String> {
        if self.format_version != BUNDLE_VERSION {
            return Err(format!(
                "the bundle has format version {}; this program reads {BUNDLE_VERSION}",
                self.format_version
            ));
        }
        for name in files.keys().filter(|name| *name != MANIFEST) {
            if !self.files.iter().any(|entry| entry.path == Path::new(name)) {
                return Err(format!("{name} is not listed in {MANIFEST}"));
            }
        }
        for entry in &self.files {
            let name = entry.path.to_string_lossy().into_owned();
            let Some(bytes) = files.get(&name) else { return Err(format!("{name} is missing")) };
            let found = Digest::of_bytes(bytes);
            if found != entry.digest {
                return Err(format!("{name} has another content (digest {found}, {MANIFEST} says {})", entry.digest));
            }
        }
        let expected = content_id(&self.files);
        if self.content_id != expected {
            return Err(format!("the content id is {}, but the files make {expected}", self.content_id));
        }
        Ok(())
    }
}

fn content_id(files: &[FileEntry]) -> String {
    let list: String = files.iter().map(|entry| format!("{}  {}\n", entry.digest.hex(), entry.path.display())).collect();
    Digest::of_bytes(list.as_bytes()).hex()[..12].to_owned()
}

/// Writes the archive: the same bytes for the same files, on any machine.
pub(crate) fn write_archive(path: &Path, folder: &str, files: &Files) -> anyhow::Result<FileEntry> {
    let out = AtomicFile::create(path)?;
    // no time, no name, "unknown" system
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive
            .append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice())
            .with_context(|| path.display().to_string())?;
    }
    let out = archive.into_inner().and_then(flate2::write::GzEncoder::finish).with_context(|| path.display().to_string())?;
    Ok(out.commit()?)
}

/// Writes the folder: whole or not at all. What stood there under the same name is replaced.
pub(crate) fn write_folder(path: &Path, files: &Files) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("{}: cannot make the folder", parent.display()))?;
    let temporary = tempfile::Builder::new().prefix(".bundle.").tempdir_in(parent);
    let temporary = temporary.with_context(|| format!("{}: cannot write there", parent.display()))?;
    let inside = temporary.path().join("bundle");
    fs::create_dir(&inside)?;
    for (name, bytes) in files {
        let mut file = File::create(inside.join(name)).with_context(|| format!("{name}: cannot write it"))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("{name}: cannot write it"))?;
    }
    if path.exists() {
        fs::rename(path, temporary.path().join("replaced"))?;
    }
    fs::rename(&inside, path).with_context(|| format!("{}: cannot write it", path.display()))
}

/// Reads a bundle, folder or archive.
///
/// # Errors
/// If it is absent, or ([`cli::No`]-worthy) not a bundle; sizes are bounded and paths must stay inside.
pub(crate) fn read(path: &Path) -> anyhow::Result<Files> {
    if !path.exists() {
        let hint = "Name a bundle's folder or its .tar.gz".to_owned();
        return Err(ArtifactError::Missing { path: path.to_owned(), hint }.into());
    }
    let files = if path.is_dir() { read_folder(path) } else { read_archive(path) };
    files.map_err(|error| cli::No(format!("{}: is not a sound bundle: {error:#}", path.display())).into())
}

fn read_folder(path: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = entry.metadata()?;
        ensure!(metadata.is_file(), "{name} is not a file");
        total += metadata.len();
        ensure!(total <= MAX_BYTES && files.len() < MAX_FILES, "it is too large");
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}

fn read_archive(path: &Path) -> anyhow::Result<Files> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path)?).take(MAX_BYTES));
    let mut files = Files::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let inside = entry.path()?.into_owned();
        let parts: Vec<Component> = inside.components().collect();
        let [Component::Normal(_), Component::Normal(name)] = parts.as_slice() else {
            bail!("{} leads outside", inside.display())
        };
        ensure!(entry.header().entry_type().is_file(), "{} is not a file", inside.display());
        ensure!(files.len() < MAX_FILES, "it has too many files");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let name = name.to_string_lossy().into_owned();
        ensure!(files.insert(name.clone(), bytes).is_none(), "{name} is there twice");
    }
    // the checksum stands at the very end
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(files)
}
