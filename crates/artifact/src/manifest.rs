//! The manifest beside each output of a stage: enough to decide whether the stage must run again, and to follow a model back to the raw
//! table.

use crate::file_entry::FileEntry;
use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
    thread,
};

use serde::{Deserialize, Serialize};

use crate::{atomic_file::write_atomically, bounded::read_bounded, digest::Digest, error::ArtifactError};

/// The manifest's format version.
pub const MANIFEST_VERSION: u32 = 1;
/// Largest size of a manifest in bytes; it lists a few files and numbers.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// Inputs, settings and outputs of one run of a stage.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub format_version: u32,
    /// The stage: `process`, `engineer`, `train` or `package`.
    pub stage: String,
    /// Version of the program.
    pub version: String,
    /// Checked-out commit of the working folder, if any.
    pub commit: Option<String>,
    /// Fingerprint of the raw table's schema.
    pub schema: String,
    /// Digest of the settings that affect the outputs.
    pub settings: Digest,
    /// Configuration files of the settings.
    pub configs: Vec<FileEntry>,
    /// Input files.
    pub inputs: Vec<FileEntry>,
    /// Output files; the first is the main one.
    pub outputs: Vec<FileEntry>,
    /// Row counts by name.
    pub rows: BTreeMap<String, u64>,
    /// Start of the stage in milliseconds since 1970-01-01 UTC.
    pub started_at_ms: u64,
    /// Duration of the stage in milliseconds.
    pub duration_ms: u64,
}

/// Path of the manifest beside `output`.
pub fn manifest_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".manifest.json");
    PathBuf::from(name)
}

impl Manifest {
    /// Reads the manifest beside `output`, with paths relative to the working folder; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read or is invalid.
    pub fn read_beside(output: &Path) -> Result<Option<Self>, ArtifactError> {
        let path = manifest_path(output);
        let text = match read_bounded(&path, MAX_MANIFEST_BYTES) {
            Ok(text) => text,
            Err(ArtifactError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| ArtifactError::InvalidPayload { path: path.clone(), reason: error.to_string() })?;
        if manifest.format_version != MANIFEST_VERSION {
            let found = manifest.format_version;
            return Err(ArtifactError::UnknownVersion { path, found, known: MANIFEST_VERSION });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in manifest.entries_mut() {
            entry.path = normalize(&folder.join(&entry.path));
        }
        Ok(Some(manifest))
    }

    /// Writes the manifest beside each of its outputs, in parallel, because a disk syncs several files as fast as one.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn write_beside_outputs(&self) -> Result<(), ArtifactError> {
        thread::scope(|scope| {
            let writers: Vec<_> =
                self.outputs.iter().map(|output| scope.spawn(|| self.write_beside(&output.path))).collect();
            writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// Writes the manifest beside `output`, which need not be one of its outputs.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_beside(&self, output: &Path) -> Result<(), ArtifactError> {
        write_atomically(&manifest_path(output), self.render_beside(output)?.as_bytes()).map(|_| ())
    }

    /// The text of the manifest beside `output`.
    ///
    /// # Errors
    /// Never in practice, because every manifest can be written as JSON.
    pub fn render_beside(&self, output: &Path) -> Result<String, ArtifactError> {
        let path = manifest_path(output);
        let mut relative = self.clone();
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in relative.entries_mut() {
            entry.path = relative_path(&entry.path, folder);
        }
        let mut text = serde_json::to_string_pretty(&relative)
            .map_err(|error| ArtifactError::InvalidPayload { path, reason: error.to_string() })?;
        text.push('\n');
        Ok(text)
    }

    /// True if running `stage` again would change nothing: the same program, settings and inputs, and unchanged outputs.
    pub fn is_current(
        &self,
        stage: &str,
        version: &str,
        settings: &Digest,
        inputs: &[FileEntry],
        outputs: &[PathBuf],
    ) -> bool {
        let same = |entry: &FileEntry| FileEntry::from_file(&entry.path).is_ok_and(|current| current.digest == entry.digest);
        self.stage == stage
            && self.version == version
            && self.settings == *settings
            && self.inputs.iter().map(|entry| &entry.digest).eq(inputs.iter().map(|entry| &entry.digest))
            && outputs.iter().all(|path| self.output(path).is_some())
            && self.outputs.iter().all(same)
    }

    /// Updates configuration files with the same settings but another text (a comment, or another stage's section).
    ///
    /// # Errors
    /// If the manifests cannot be written.
    pub fn refresh_configs(&mut self, configs: &[FileEntry]) -> Result<(), ArtifactError> {
        let digests = |entries: &[FileEntry]| entries.iter().map(|entry| entry.digest.clone()).collect::<Vec<_>>();
        if digests(&self.configs) == digests(configs) {
            return Ok(());
        }
        self.configs = configs.to_vec();
        self.write_beside_outputs()
    }

    /// The entry of the output at `path`.
    pub fn output(&self, path: &Path) -> Option<&FileEntry> {
        let path = absolute(path);
        self.outputs.iter().find(|entry| absolute(&entry.path) == path)
    }

    /// The first output at another path than `path`.
    pub fn output_beside(&self, path: &Path) -> Option<&FileEntry> {
        let path = absolute(path);
        self.outputs.iter().find(|entry| absolute(&entry.path) != path)
    }

    fn entries_mut(&mut self) -> impl Iterator<Item = &mut FileEntry> {
        self.configs.iter_mut().chain(&mut self.inputs).chain(&mut self.outputs)
    }
}

/// Checks that `stage` wrote the file at `path`; returns the manifest and the file's entry.
///
/// # Errors
/// If the file or its manifest does not exist, or the content differs; the message says what to run.
pub fn check_input(path: &Path, stage: &'static str) -> Result<(Manifest, FileEntry), ArtifactError> {
    if !path.exists() {
        let hint = format!("Run `{stage}` to write it, or name another file");
        return Err(ArtifactError::Missing { path: path.to_owned(), hint });
    }
    let no_manifest = || ArtifactError::NoManifest { path: path.to_owned(), manifest: manifest_path(path), stage };
    let manifest = Manifest::read_beside(path)?.ok_or_else(no_manifest)?;
    let expected_entry = manifest.output(path).ok_or_else(no_manifest)?;
    let current = FileEntry::from_file(path)?;
    if current.digest != expected_entry.digest {
        return Err(ArtifactError::DigestMismatch {
            path: path.to_owned(),
            stage: manifest.stage.clone(),
            expected: expected_entry.digest.to_string(),
            found: current.digest.to_string(),
        });
    }
    Ok((manifest, current))
}

/// `path` relative to `folder`.
pub fn relative_path(path: &Path, folder: &Path) -> PathBuf {
    let target = absolute(path);
    pathdiff::diff_paths(&target, absolute(folder)).unwrap_or(target)
}

fn absolute(path: &Path) -> PathBuf {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    normalize(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Resolves `.` and `..` without the file system.
fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn manifest(folder: &Path) -> Manifest {
        let input = write_atomically(&folder.join("raw/in.csv"), b"a\n1\n").unwrap();
        let output = write_atomically(&folder.join("processed/out.csv"), b"a\n2\n").unwrap();
        Manifest {
            format_version: MANIFEST_VERSION,
            stage: "process".into(),
            version: "1".into(),
            commit: None,
            schema: "s".into(),
            settings: Digest::of_bytes(b"settings"),
            configs: vec![],
            inputs: vec![input],
            outputs: vec![output],
            rows: BTreeMap::new(),
            started_at_ms: 0,
            duration_ms: 0,
        }
    }

    #[test]
    fn a_folder_can_be_moved_with_its_manifests() {
        let folder = tempfile::tempdir().unwrap();
        manifest(&folder.path().join("a")).write_beside_outputs().unwrap();
        fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        let moved = folder.path().join("b");
        let (read, _) = check_input(&moved.join("processed/out.csv"), "process").unwrap();
        assert_eq!(read.inputs[0].path, moved.join("raw/in.csv"));
    }

    #[test]
    fn a_stage_is_current_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = manifest(folder.path());
        let (outputs, settings) = (vec![manifest.outputs[0].path.clone()], manifest.settings.clone());
        let current =
            |manifest: &Manifest, inputs: &[FileEntry]| manifest.is_current("process", "1", &settings, inputs, &outputs);
        assert!(current(&manifest, &manifest.inputs));
        assert!(!current(&manifest, &[]));
        assert!(!manifest.is_current("process", "2", &settings, &manifest.inputs, &outputs));
        fs::write(&outputs[0], "changed").unwrap();
        assert!(!current(&manifest, &manifest.inputs));
    }

    #[test]
    fn changed_or_missing_inputs_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("processed/out.csv");
        let error = |path: &Path| check_input(path, "process").unwrap_err().to_string();
        assert!(error(&path).ends_with("out.csv: no such file. Run `process` to write it, or name another file"));
        let manifest = manifest(folder.path());
        assert!(error(&path).contains("has no manifest beside it"), "{}", error(&path));
        manifest.write_beside_outputs().unwrap();
        fs::write(&path, "edited").unwrap();
        assert!(error(&path).contains("is not the file that `process` wrote (digest sha256:"), "{}", error(&path));
    }
}
