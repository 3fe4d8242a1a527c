//! A bundle: files with digests, as a folder and as a byte-reproducible archive.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Component, Path},
};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde::{Deserialize, Serialize};

use crate::{ArtifactError, AtomicFile, Digest, FileEntry};

/// The file of a bundle that lists the others.
pub const BUNDLE_MANIFEST: &str = "manifest.json";
/// More bytes than this are not unpacked.
const MAX_BYTES: u64 = 2 << 30;
/// More files than this are not unpacked.
const MAX_FILES: usize = 100;
const BUNDLE_VERSION: u32 = 1;

/// A stage on the way from the raw table to the model.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Link {
    /// The stage.
    pub stage: String,
    /// Its version.
    pub version: String,
    /// The files it read, by name.
    pub inputs: Vec<NamedDigest>,
    /// The files it wrote, by name.
    pub outputs: Vec<NamedDigest>,
    /// Row counts by name.
    pub rows: BTreeMap<String, u64>,
}

/// A file by its name alone: folders differ from machine to machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NamedDigest {
    /// The file's name.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

impl From<&FileEntry> for NamedDigest {
    fn from(entry: &FileEntry) -> Self {
        let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, digest: entry.digest.clone() }
    }
}

/// A gate on the way into a bundle.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gate {
    /// Its name: `thresholds`, `champion`, `coverage`, `leakage` or `schema`.
    pub gate: String,
    /// Whether it was passed.
    pub answer: GateAnswer,
    /// The figures that it was decided by, in words.
    pub figure: String,
    /// Why it was let pass all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What came of a gate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateAnswer {
    /// It was passed.
    Passed,
    /// There was nothing to decide by.
    NotApplicable,
    /// It was missed, and someone said why that is to be borne.
    Allowed,
    /// It was missed.
    Refused,
}

/// `manifest.json` of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BundleManifest {
    /// The format's version.
    pub format_version: u32,
    /// The model's name.
    pub name: String,
    /// Twelve hexadecimal digits that stand for the content of every file.
    pub content_id: String,
    /// The fingerprint of the raw table's schema.
    pub schema: String,
    /// The stages, model first.
    pub lineage: Vec<Link>,
    /// The gates that it passed; bundles of older programs list none.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Every other file: name, digest, size.
    pub files: Vec<FileEntry>,
}

/// The files of a bundle by name.
pub type BundleFiles = BTreeMap<String, Vec<u8>>;

impl BundleManifest {
    /// The manifest among the files of a bundle, checked against them.
    ///
    /// # Errors
    /// Names the file at fault.
    pub fn of(files: &BundleFiles) -> Result<Self, String> {
        let text = files.get(BUNDLE_MANIFEST).ok_or_else(|| format!("{BUNDLE_MANIFEST} is missing"))?;
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| format!("{BUNDLE_MANIFEST} cannot be read: {error}"))?;
        manifest.check(files)?;
        Ok(manifest)
    }

    /// The manifest of `files`.
    pub fn new(name: &str, schema: &str, lineage: Vec<Link>, gates: Vec<Gate>, files: &BundleFiles) -> Self {
        let entry = |(name, bytes): (&String, &Vec<u8>)| FileEntry {
            path: name.into(),
            digest: Digest::of_bytes(bytes),
            bytes: bytes.len() as u64,
        };
        let files: Vec<FileEntry> = files.iter().map(entry).collect();
        let content_id = content_id(&files);
        Self { format_version: BUNDLE_VERSION, name: name.into(), content_id, schema: schema.into(), lineage, gates, files }
    }

    /// The bundle's folder name.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.name, self.content_id)
    }

    /// Checks that `files` are those listed, and nothing else.
    ///
    /// # Errors
    /// Names the file at fault.
    fn check(&self, files: &BundleFiles) -> Result<(), String> {
        if self.format_version != BUNDLE_VERSION {
            return Err(format!(
                "the bundle has format version {}; this program reads {BUNDLE_VERSION}",
                self.format_version
            ));
        }
        for name in files.keys().filter(|name| *name != BUNDLE_MANIFEST) {
            if !self.files.iter().any(|entry| entry.path == Path::new(name)) {
                return Err(format!("{name} is not listed in {BUNDLE_MANIFEST}"));
            }
        }
        for entry in &self.files {
            let name = entry.path.to_string_lossy().into_owned();
            let Some(bytes) = files.get(&name) else { return Err(format!("{name} is missing")) };
            let found = Digest::of_bytes(bytes);
            if found != entry.digest {
                return Err(format!("{name} has another content (digest {found}, {BUNDLE_MANIFEST} says {})", entry.digest));
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
///
/// # Errors
/// If it cannot be written.
pub fn write_bundle_archive(path: &Path, folder: &str, files: &BundleFiles) -> Result<FileEntry, ArtifactError> {
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
        let appended = archive.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice());
        appended.map_err(ArtifactError::io(path, "write it"))?;
    }
    let finished = archive.into_inner().and_then(flate2::write::GzEncoder::finish);
    finished.map_err(ArtifactError::io(path, "write it"))?.commit()
}

/// Writes the folder: whole or not at all. What stood there under the same name is replaced.
///
/// # Errors
/// If it cannot be written.
pub fn write_bundle_folder(path: &Path, files: &BundleFiles) -> Result<(), ArtifactError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(ArtifactError::io(parent, "make the folder"))?;
    let temporary = tempfile::Builder::new().prefix(".bundle.").tempdir_in(parent);
    let temporary = temporary.map_err(ArtifactError::io(parent, "write there"))?;
    let inside = temporary.path().join("bundle");
    fs::create_dir(&inside).map_err(ArtifactError::io(&inside, "make the folder"))?;
    for (name, bytes) in files {
        let path = inside.join(name);
        let written = File::create(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(ArtifactError::io(&path, "write it"))?;
    }
    if path.exists() {
        fs::rename(path, temporary.path().join("replaced")).map_err(ArtifactError::io(path, "replace it"))?;
    }
    fs::rename(&inside, path).map_err(ArtifactError::io(path, "write it"))
}

/// Reads the files of a bundle, folder or archive. [`BundleManifest::of`] checks them.
///
/// # Errors
/// If it is absent, or cannot be a bundle: sizes are bounded and paths must stay inside.
pub fn read_bundle(path: &Path) -> Result<BundleFiles, ArtifactError> {
    if !path.exists() {
        let hint = "Name a bundle's folder or its .tar.gz".to_owned();
        return Err(ArtifactError::Missing { path: path.to_owned(), hint });
    }
    let files = if path.is_dir() { read_folder(path) } else { read_archive(path) };
    files.map_err(|reason| ArtifactError::NotABundle { path: path.to_owned(), reason: reason.to_string() })
}

fn read_folder(path: &Path) -> io::Result<BundleFiles> {
    let mut files = BundleFiles::new();
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = entry.metadata()?;
        ensure(metadata.is_file(), || format!("{name} is not a file"))?;
        total += metadata.len();
        ensure(total <= MAX_BYTES && files.len() < MAX_FILES, || "it is too large".into())?;
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}

fn read_archive(path: &Path) -> io::Result<BundleFiles> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path)?).take(MAX_BYTES));
    let mut files = BundleFiles::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let inside = entry.path()?.into_owned();
        let parts: Vec<Component> = inside.components().collect();
        let [Component::Normal(_), Component::Normal(name)] = parts.as_slice() else {
            return Err(io::Error::other(format!("{} leads outside", inside.display())));
        };
        ensure(entry.header().entry_type().is_file(), || format!("{} is not a file", inside.display()))?;
        ensure(files.len() < MAX_FILES, || "it has too many files".into())?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let name = name.to_string_lossy().into_owned();
        ensure(files.insert(name.clone(), bytes).is_none(), || format!("{name} is there twice"))?;
    }
    // the checksum stands at the very end
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(files)
}

fn ensure(holds: bool, fault: impl FnOnce() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(fault())) }
}
