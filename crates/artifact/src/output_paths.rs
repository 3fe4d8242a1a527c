//! Checks, before a run begins, that no file it writes is a file it reads, and that no two files it writes are one. Files are compared
//! and not the texts of their paths.
//!
//! Two paths are one file if they have the same name in the same folder, links resolved, or the same device and inode. Where the system
//! has no inodes, hard links are not seen.
//!
//! A file that is there is replaced if it is an earlier output, see [`OutputKind`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::ArtifactError,
    manifest::{Manifest, manifest_path},
    output_kind::OutputKind,
    place::Place,
};

/// Stages that are walked back from an input at most.
const MAX_STAGES: usize = 8;

/// The files that a run reads and writes. Each has a label for messages: its flag, or what it is to a flag.
#[derive(Clone, Debug, Default)]
pub struct RunPaths {
    inputs: Vec<PathLabel>,
    outputs: Vec<Output>,
}

/// A path as it was typed.
#[derive(Clone, Debug)]
struct PathLabel {
    label: String,
    path: PathBuf,
}

/// A path that is written.
#[derive(Clone, Debug)]
struct Output {
    path: PathLabel,
    extent: Extent,
    kind: OutputKind,
}

/// What a run writes at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    /// A file, renamed into its place.
    File,
    /// The same, beside an output. Manifests of one run have the same content, so tools that look for copies make hard links of them.
    Manifest,
    /// A file that is changed in place by a library of its own, which judges what is there.
    Database,
    /// A folder whose content is replaced.
    Folder,
    /// New files in a folder; what is there stays.
    NewFiles,
}

impl RunPaths {
    /// Adds a file that is read, or a folder that is read as a whole.
    #[must_use]
    pub fn input(mut self, label: &str, path: &Path) -> Self {
        self.inputs.push(PathLabel { label: label.to_owned(), path: path.to_owned() });
        self
    }

    /// Adds a file that a stage wrote and this run reads, with its manifest. Every file that the manifests before it name is added, too, back
    /// to the raw table.
    #[must_use]
    pub fn stage_input(self, label: &str, path: &Path) -> Self {
        self.input(label, path).lineage(label, path, MAX_STAGES)
    }

    fn lineage(mut self, label: &str, path: &Path, stages: usize) -> Self {
        self = self.input(&format!("the manifest of {label}"), &manifest_path(path));
        // a manifest that cannot be read is dealt with where it is needed
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

    /// Adds a file that is written, whatever is there.
    #[must_use]
    pub fn output(self, label: &str, path: &Path) -> Self {
        self.output_of_kind(label, path, OutputKind::ANY)
    }

    /// Adds a file that is written, and replaces none but an earlier one of its kind.
    #[must_use]
    pub fn output_of_kind(self, label: &str, path: &Path, kind: OutputKind) -> Self {
        self.written(label, path, Extent::File, kind)
    }

    /// Adds a file that is written with a manifest beside it, and replaces none but an earlier one of its kind.
    #[must_use]
    pub fn stage_output(self, label: &str, path: &Path, kind: OutputKind) -> Self {
        let manifest = format!("the manifest of {label}");
        let paths = self.output_of_kind(label, path, kind);
        paths.written(&manifest, &manifest_path(path), Extent::Manifest, OutputKind::REPORT)
    }

    /// Adds an SQLite database that is written, with the files that SQLite keeps beside it.
    #[must_use]
    pub fn database(self, label: &str, path: &Path) -> Self {
        let add = |paths: Self, file: PathBuf| paths.written(label, &file, Extent::Database, OutputKind::ANY);
        database_files(path).fold(self, add)
    }

    /// Adds an SQLite database that is read, with the files that SQLite keeps beside it.
    #[must_use]
    pub fn input_database(self, label: &str, path: &Path) -> Self {
        database_files(path).fold(self, |paths, file| paths.input(label, &file))
    }

    /// Adds a folder whose content is replaced.
    #[must_use]
    pub fn output_folder(self, label: &str, path: &Path) -> Self {
        self.written(label, path, Extent::Folder, OutputKind::ANY)
    }

    /// Adds a folder to which new files are added under names that are not known yet.
    #[must_use]
    pub fn new_files_in(self, label: &str, path: &Path) -> Self {
        self.written(label, path, Extent::NewFiles, OutputKind::ANY)
    }

    fn written(mut self, label: &str, path: &Path, extent: Extent, kind: OutputKind) -> Self {
        let path = PathLabel { label: label.to_owned(), path: path.to_owned() };
        self.outputs.push(Output { path, extent, kind });
        self
    }

    /// Compares every output with every input and with every other output.
    ///
    /// # Errors
    /// If two of them are the same file, an output lies in a folder that is read, or an input in one that is replaced. Both are named as
    /// typed. If an output exists and cannot be replaced by a file, or is a file of another kind than the one that would replace it.
    pub fn check(&self) -> Result<(), ArtifactError> {
        let inputs: Vec<Place> = self.inputs.iter().map(|input| Place::of(&input.path)).collect();
        let outputs: Vec<Place> = self.outputs.iter().map(|output| Place::of(&output.path.path)).collect();
        for (number, (Output { path, extent, .. }, place)) in self.outputs.iter().zip(&outputs).enumerate() {
            for (input, read) in self.inputs.iter().zip(&inputs) {
                check_input_and_output((input, read), (path, place), *extent)?;
            }
            for (other, written) in self.outputs[..number].iter().zip(&outputs) {
                check_outputs((&other.path, written, other.extent), (path, place, *extent))?;
            }
            check_file_type(path, place, *extent)?;
        }
        for (Output { path, kind, .. }, place) in self.outputs.iter().zip(&outputs) {
            kind.check_replaceable(&path.text(), &place.target)?;
        }
        Ok(())
    }
}

/// The files of an SQLite database: its own, and those that SQLite keeps beside it.
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

/// That writing an output does not change an input.
fn check_input_and_output(
    (input, read): (&PathLabel, &Place),
    (output, written): (&PathLabel, &Place),
    extent: Extent,
) -> Result<(), ArtifactError> {
    if written.is(read) {
        return Err(ArtifactError::SameFile { output: output.text(), other: input.text() });
    }
    if read.is_folder && written.lies_in(read) {
        return Err(ArtifactError::OutputInInput { output: output.text(), input: input.text() });
    }
    if extent == Extent::Folder && read.lies_in(written) {
        return Err(ArtifactError::InputInOutput { input: input.text(), output: output.text() });
    }
    if matches!(extent, Extent::File | Extent::Manifest) && read.is_temporary_of(written) {
        return Err(ArtifactError::TemporaryName { input: input.text(), output: output.text() });
    }
    Ok(())
}

/// That two outputs do not change each other.
fn check_outputs(
    (first, first_place, first_extent): (&PathLabel, &Place, Extent),
    (second, second_place, second_extent): (&PathLabel, &Place, Extent),
) -> Result<(), ArtifactError> {
    if [first_extent, second_extent].contains(&Extent::NewFiles) {
        return Ok(());
    }
    let manifests = [first_extent, second_extent] == [Extent::Manifest; 2];
    if first_place.has_name_of(second_place) || (!manifests && first_place.has_inode_of(second_place)) {
        return Err(ArtifactError::SameFile { output: second.text(), other: first.text() });
    }
    for ((inner, inner_place), (outer, outer_place)) in
        [((first, first_place), (second, second_place)), ((second, second_place), (first, first_place))]
    {
        if inner_place.lies_in(outer_place) {
            return Err(ArtifactError::OutputInOutput { inner: inner.text(), outer: outer.text() });
        }
    }
    Ok(())
}

/// That what is there can be replaced by what is written.
fn check_file_type(output: &PathLabel, place: &Place, extent: Extent) -> Result<(), ArtifactError> {
    let refusal = |problem| Err(ArtifactError::UnfitOutput { output: output.text(), problem });
    let is_other = |is_fit: fn(&fs::Metadata) -> bool| fs::metadata(&place.target).is_ok_and(|found| !is_fit(&found));
    match extent {
        Extent::File | Extent::Manifest if place.is_folder => refusal("is a folder; name a file"),
        Extent::File | Extent::Manifest if place.is_among_devices() || is_other(fs::Metadata::is_file) => {
            refusal("is a device or a pipe, not a file that can be replaced; name another output")
        }
        Extent::Folder | Extent::NewFiles if is_other(fs::Metadata::is_dir) => {
            refusal("is not a folder; name another output")
        }
        Extent::Database | Extent::File | Extent::Manifest | Extent::Folder | Extent::NewFiles => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The message for an output, where `raw.csv` and the folder `bundle` with a file are read and the folder `linked` is this one.
    fn refusal(prepare: impl FnOnce(&Path), name: &str) -> Option<String> {
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
            assert_eq!(refusal(|_| {}, name).as_deref(), Some(expected.as_str()));
        }
        let through =
            |link: &'static str, to: &'static str| refusal(move |folder| symlink(to, folder.join(link)).unwrap(), link);
        assert!(through("a.csv", "raw.csv").unwrap().starts_with("--output a.csv is the same file as --input"));
        assert!(through("b.csv", "deep/../linked/raw.csv").unwrap().contains("is the same file as"));
        assert!(refusal(|folder| fs::hard_link(folder.join("raw.csv"), folder.join("c.csv")).unwrap(), "c.csv").is_some());
        // a folder that is not there yet
        assert!(refusal(|_| {}, "new/../linked/raw.csv").unwrap().contains("is the same file as"));
        assert_eq!(refusal(|_| {}, "new/raw.csv"), None);
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
            refusal(|_| {}, "linked/bundle/predicted.csv").unwrap(),
            "--output linked/bundle/predicted.csv lies in --model bundle, which is read as a whole; name another output"
        );
        assert_eq!(refusal(|_| {}, "deep").unwrap(), "--output deep is a folder; name a file");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("image")).unwrap();
        fs::write(at("image/key.pem"), "key").unwrap();
        let message = |paths: RunPaths| paths.check().unwrap_err().to_string();
        let replaced = RunPaths::default().input("--key", &at("image/key.pem")).output_folder("PATH", &at("image"));
        assert!(message(replaced).ends_with("which is replaced as a whole; name another output"));
        let below = RunPaths::default().output("--output", &at("a.csv")).output("--preprocessor", &at("a.csv/p.bin"));
        assert!(message(below).contains("a.csv/p.bin lies below --output "));
        let added = RunPaths::default().input("--model", &at("image")).new_files_in("--log-predictions", &at("image/log"));
        assert!(message(added).contains("which is read as a whole"));
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
        let message = "is a device or a pipe, not a file that can be replaced; name another output";
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
