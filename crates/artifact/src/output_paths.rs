//! Check before a run that no output is also an input, and that all outputs are different files. The check compares files, not the
//! texts of their paths.
//!
//! Two paths are the same file if they have the same name in the same folder after resolving links, or the same device and inode. Hard
//! links are not detected on systems without inodes.
//!
//! An existing file is only replaced if it is an earlier output, see [`OutputKind`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::ArtifactError,
    manifest::{Manifest, manifest_path},
    output_kind::OutputKind,
    resolved_path::ResolvedPath,
};

/// Largest number of stages in a lineage.
const MAX_STAGES: usize = 8;

/// The files that a run reads and writes. Each has a label for messages, such as its flag.
#[derive(Clone, Debug, Default)]
pub struct RunPaths {
    inputs: Vec<PathLabel>,
    outputs: Vec<OutputPath>,
}

/// A path with its label.
#[derive(Clone, Debug)]
struct PathLabel {
    label: String,
    path: PathBuf,
}

/// An output path.
#[derive(Clone, Debug)]
struct OutputPath {
    path: PathLabel,
    change: Change,
    kind: OutputKind,
}

/// The kind of change at an output path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    /// A file that is written by renaming.
    File,
    /// A manifest beside an output. Manifests of one run have the same content, so tools that remove duplicates turn them into hard links.
    Manifest,
    /// A database that a library changes in place.
    Database,
    /// A folder whose content is replaced.
    Folder,
    /// New files in a folder; existing files stay.
    NewFiles,
}

impl RunPaths {
    /// Adds an input file, or an input folder with all its files.
    #[must_use]
    pub fn input(mut self, label: &str, path: &Path) -> Self {
        self.inputs.push(PathLabel { label: label.to_owned(), path: path.to_owned() });
        self
    }

    /// Adds an input file of an earlier stage, its manifest, and all files of its lineage back to the raw table.
    #[must_use]
    pub fn stage_input(self, label: &str, path: &Path) -> Self {
        self.input(label, path).lineage(label, path, MAX_STAGES)
    }

    fn lineage(mut self, label: &str, path: &Path, stages: usize) -> Self {
        self = self.input(&format!("the manifest of {label}"), &manifest_path(path));
        // invalid manifests are reported where they are used
        let Some(manifest) = Manifest::read_beside(path).ok().flatten().filter(|_| stages > 0) else { return self };
        let named = manifest.configs.iter().chain(&manifest.inputs).chain(&manifest.outputs);
        let origin = format!("a file in the lineage of {label}");
        for entry in named.filter(|entry| entry.path != path) {
            self = self.input(&origin, &entry.path);
        }
        for entry in manifest.outputs.iter().filter(|entry| entry.path != path) {
            self = self.input(&origin, &manifest_path(&entry.path));
        }
        for entry in &manifest.inputs {
            self = self.lineage(label, &entry.path, stages - 1);
        }
        self
    }

    /// Adds an output file that may replace any file.
    #[must_use]
    pub fn output(self, label: &str, path: &Path) -> Self {
        self.output_of_kind(label, path, OutputKind::ANY)
    }

    /// Adds an output file that may only replace an earlier one of its kind.
    #[must_use]
    pub fn output_of_kind(self, label: &str, path: &Path, kind: OutputKind) -> Self {
        self.with_output(label, path, Change::File, kind)
    }

    /// Adds an output file with a manifest; it may only replace an earlier one of its kind.
    #[must_use]
    pub fn stage_output(self, label: &str, path: &Path, kind: OutputKind) -> Self {
        let manifest = format!("the manifest of {label}");
        let paths = self.output_of_kind(label, path, kind);
        paths.with_output(&manifest, &manifest_path(path), Change::Manifest, OutputKind::REPORT)
    }

    /// Adds an SQLite database as output, with the files that SQLite keeps beside it.
    #[must_use]
    pub fn database(self, label: &str, path: &Path) -> Self {
        let add = |paths: Self, file: PathBuf| paths.with_output(label, &file, Change::Database, OutputKind::ANY);
        database_files(path).fold(self, add)
    }

    /// Adds an SQLite database as input, with the files that SQLite keeps beside it.
    #[must_use]
    pub fn input_database(self, label: &str, path: &Path) -> Self {
        database_files(path).fold(self, |paths, file| paths.input(label, &file))
    }

    /// Adds a folder whose content is replaced.
    #[must_use]
    pub fn output_folder(self, label: &str, path: &Path) -> Self {
        self.with_output(label, path, Change::Folder, OutputKind::ANY)
    }

    /// Adds a folder that gets new files with unknown names.
    #[must_use]
    pub fn new_files_in(self, label: &str, path: &Path) -> Self {
        self.with_output(label, path, Change::NewFiles, OutputKind::ANY)
    }

    fn with_output(mut self, label: &str, path: &Path, change: Change, kind: OutputKind) -> Self {
        let path = PathLabel { label: label.to_owned(), path: path.to_owned() };
        self.outputs.push(OutputPath { path, change, kind });
        self
    }

    /// Compares all outputs with all inputs and with each other.
    ///
    /// # Errors
    /// If an output is the same file as an input or another output, is inside an input folder, or its folder contains an input. Also if an
    /// existing output is of another kind or cannot be replaced. Messages name the paths as given.
    pub fn check(&self) -> Result<(), ArtifactError> {
        let inputs: Vec<ResolvedPath> = self.inputs.iter().map(|input| ResolvedPath::new(&input.path)).collect();
        let outputs: Vec<ResolvedPath> = self.outputs.iter().map(|output| ResolvedPath::new(&output.path.path)).collect();
        for (number, (OutputPath { path, change, .. }, place)) in self.outputs.iter().zip(&outputs).enumerate() {
            for (input, read) in self.inputs.iter().zip(&inputs) {
                check_input_and_output((input, read), (path, place), *change)?;
            }
            for (other, with_output) in self.outputs[..number].iter().zip(&outputs) {
                check_outputs((&other.path, with_output, other.change), (path, place, *change))?;
            }
            check_file_type(path, place, *change)?;
        }
        for (OutputPath { path, kind, .. }, place) in self.outputs.iter().zip(&outputs) {
            kind.check_replaceable(&path.text(), &place.target)?;
        }
        Ok(())
    }
}

/// An SQLite database and the files that SQLite keeps beside it.
fn database_files(path: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-journal", "-wal", "-shm"].into_iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

impl PathLabel {
    fn text(&self) -> String {
        format!("{} {}", self.label, self.path.display())
    }
}

/// Checks that writing an output does not change an input.
fn check_input_and_output(
    (input, read): (&PathLabel, &ResolvedPath),
    (output, with_output): (&PathLabel, &ResolvedPath),
    change: Change,
) -> Result<(), ArtifactError> {
    if with_output.is(read) {
        return Err(ArtifactError::SameFile { output: output.text(), other: input.text() });
    }
    if read.is_folder && with_output.is_below(read) {
        return Err(ArtifactError::OutputInInput { output: output.text(), input: input.text() });
    }
    if change == Change::Folder && read.is_below(with_output) {
        return Err(ArtifactError::InputInOutput { input: input.text(), output: output.text() });
    }
    if matches!(change, Change::File | Change::Manifest) && read.is_temporary_of(with_output) {
        return Err(ArtifactError::TemporaryName { input: input.text(), output: output.text() });
    }
    Ok(())
}

/// Checks that two outputs do not change each other.
fn check_outputs(
    (first, first_place, first_extent): (&PathLabel, &ResolvedPath, Change),
    (second, second_place, second_extent): (&PathLabel, &ResolvedPath, Change),
) -> Result<(), ArtifactError> {
    if [first_extent, second_extent].contains(&Change::NewFiles) {
        return Ok(());
    }
    let manifests = [first_extent, second_extent] == [Change::Manifest; 2];
    if first_place.has_name_of(second_place) || (!manifests && first_place.has_inode_of(second_place)) {
        return Err(ArtifactError::SameFile { output: second.text(), other: first.text() });
    }
    for ((inner, inner_place), (outer, outer_place)) in
        [((first, first_place), (second, second_place)), ((second, second_place), (first, first_place))]
    {
        if inner_place.is_below(outer_place) {
            return Err(ArtifactError::OutputInOutput { inner: inner.text(), outer: outer.text() });
        }
    }
    Ok(())
}

/// Checks that the existing file or folder can be replaced.
fn check_file_type(output: &PathLabel, place: &ResolvedPath, change: Change) -> Result<(), ArtifactError> {
    let error_of = |problem| Err(ArtifactError::UnfitOutput { output: output.text(), problem });
    let is_other = |is_fit: fn(&fs::Metadata) -> bool| fs::metadata(&place.target).is_ok_and(|metadata| !is_fit(&metadata));
    match change {
        Change::File | Change::Manifest if place.is_folder => error_of("is a folder; name a file"),
        Change::File | Change::Manifest if place.is_among_devices() || is_other(fs::Metadata::is_file) => {
            error_of("is a device or a pipe, which cannot be replaced; name another output")
        }
        Change::Folder | Change::NewFiles if is_other(fs::Metadata::is_dir) => {
            error_of("is not a folder; name another output")
        }
        Change::Database | Change::File | Change::Manifest | Change::Folder | Change::NewFiles => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The error for an output `name`. Inputs are `raw.csv` and the folder `bundle` with a file; the folder `linked` links to the parent.
    fn error_of(prepare: impl FnOnce(&Path), name: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("raw.csv"), "raw").unwrap();
        fs::create_dir_all(at("deep/er")).unwrap();
        fs::create_dir(at("bundle")).unwrap();
        fs::write(at("bundle/model.bin"), "model").unwrap();
        symlink(folder.path(), at("linked")).unwrap();
        prepare(folder.path());
        let output = PathBuf::from(format!("{}/{name}", folder.path().display()));
        let paths = RunPaths::default().input("--input", &at("raw.csv")).input("--model", &at("bundle"));
        let message = paths.output("--output", &output).check().err()?.to_string();
        Some(message.replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn an_input_is_known_under_every_name() {
        for name in
            ["raw.csv", "./raw.csv", ".//raw.csv", "deep/../raw.csv", "linked/raw.csv", "linked/deep/er/../../raw.csv"]
        {
            let expected = format!("--output {name} is the same file as --input raw.csv; name another output");
            assert_eq!(error_of(|_| {}, name).as_deref(), Some(expected.as_str()));
        }
        let through =
            |link: &'static str, to: &'static str| error_of(move |folder| symlink(to, folder.join(link)).unwrap(), link);
        assert!(through("a.csv", "raw.csv").unwrap().starts_with("--output a.csv is the same file as --input"));
        assert!(through("b.csv", "deep/../linked/raw.csv").unwrap().contains("is the same file as"));
        assert!(error_of(|folder| fs::hard_link(folder.join("raw.csv"), folder.join("c.csv")).unwrap(), "c.csv").is_some());
        // a folder that does not exist yet
        assert!(error_of(|_| {}, "new/../linked/raw.csv").unwrap().contains("is the same file as"));
        assert_eq!(error_of(|_| {}, "new/raw.csv"), None);
        assert_eq!(through("d.csv", "nowhere.csv"), None);
        assert_eq!(through("e.csv", "e.csv"), None);
    }

    #[test]
    fn an_input_that_is_a_link_is_the_file_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("raw.csv"), "raw").unwrap();
        symlink("raw.csv", at("second.csv")).unwrap();
        symlink("second.csv", at("first.csv")).unwrap();
        for name in ["raw.csv", "second.csv", "first.csv"] {
            let paths = RunPaths::default().input("--input", &at("first.csv")).output("--output", &at(name));
            assert!(paths.check().is_err(), "{name}");
        }
    }

    #[test]
    fn folders_that_are_read_or_replaced_are_seen() {
        assert_eq!(
            error_of(|_| {}, "linked/bundle/predicted.csv").unwrap(),
            "--output linked/bundle/predicted.csv is in --model bundle, which is an input; name another output"
        );
        assert_eq!(error_of(|_| {}, "deep").unwrap(), "--output deep is a folder; name a file");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("image")).unwrap();
        fs::write(at("image/key.pem"), "key").unwrap();
        let message = |paths: RunPaths| paths.check().unwrap_err().to_string();
        let replaced = RunPaths::default().input("--key", &at("image/key.pem")).output_folder("PATH", &at("image"));
        assert!(message(replaced).ends_with("which will be replaced; name another output"));
        let below = RunPaths::default().output("--output", &at("a.csv")).output("--preprocessor", &at("a.csv/p.bin"));
        assert!(message(below).contains("a.csv/p.bin is below --output "));
        let added = RunPaths::default().input("--model", &at("image")).new_files_in("--log-predictions", &at("image/log"));
        assert!(message(added).contains("which is an input"));
    }

    #[test]
    fn outputs_are_compared_with_each_other_and_their_manifests() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let both = |first: &str, second: &str| {
            let paths = RunPaths::default().stage_output("--output", &at(first), OutputKind::TABLE).stage_output(
                "--preprocessor",
                &at(second),
                OutputKind::ANY,
            );
            paths.check().map_err(|error| error.to_string())
        };
        assert!(both("a.csv", "a.csv").unwrap_err().starts_with("--preprocessor "));
        let clash = both("a.csv", "a.csv.manifest.json").unwrap_err();
        assert!(clash.contains("is the same file as the manifest of --output "), "{clash}");
        assert!(both("a.csv", "b.bin").is_ok());
    }

    #[test]
    fn devices_and_names_of_temporary_files_are_refused() {
        let refused = |path: &str| RunPaths::default().output("--output", Path::new(path)).check().unwrap_err().to_string();
        let message = "is a device or a pipe, which cannot be replaced; name another output";
        for path in ["/dev/stdout", "/dev/null"] {
            assert_eq!(refused(path), format!("--output {path} {message}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join(".a.csv.x1y2z3.tmp"), folder.path().join("a.csv"));
        let paths = RunPaths::default().input("--config", &input).output("--output", &output);
        assert!(paths.check().unwrap_err().to_string().contains("has the name of a temporary file of --output "));
    }

    #[test]
    fn the_raw_table_is_an_input_of_every_later_stage() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let entry = |name: &str| crate::atomic_file::write_atomically(&at(name), name.as_bytes()).unwrap();
        let manifest = |stage: &str, input: &str, output: &str| Manifest {
            format_version: crate::manifest::MANIFEST_VERSION,
            stage: stage.into(),
            version: "1".into(),
            commit: None,
            schema: "s".into(),
            settings: crate::digest::Digest::of_bytes(b"settings"),
            configs: vec![entry("pipeline.yaml")],
            inputs: vec![entry(input)],
            outputs: vec![entry(output)],
            rows: std::collections::BTreeMap::new(),
            started_at_ms: 0,
            duration_ms: 0,
        };
        manifest("process", "raw.csv", "cleaned.csv").write_beside_outputs().unwrap();
        manifest("engineer", "cleaned.csv", "featured.csv").write_beside_outputs().unwrap();
        let paths = RunPaths::default().stage_input("--data", &at("featured.csv"));
        for name in ["raw.csv", "pipeline.yaml", "cleaned.csv", "cleaned.csv.manifest.json", "featured.csv.manifest.json"] {
            let message = paths.clone().output("--output", &at(name)).check().unwrap_err().to_string();
            assert!(message.contains("is the same file as"), "{name}: {message}");
        }
        assert!(paths.output("--output", &at("model.bin")).check().is_ok());
    }
}
