//! The stages that wrote the featured table, as far as their manifests still exist.

use artifact::{FileEntry, Manifest};

/// The manifests of the stages before `train`.
pub(crate) struct InputLineage {
    /// The manifest of the stage that wrote the featured table.
    pub(crate) engineer: Manifest,
    /// The manifest of the stage that wrote the cleaned table; `None` if it does not exist any more.
    pub(crate) process: Option<Manifest>,
}

impl InputLineage {
    /// Follows the manifest of `engineer` back to that of `process`.
    pub(crate) fn from_engineer(engineer: Manifest) -> Self {
        let cleaned = engineer.inputs.first();
        let process = cleaned.and_then(|cleaned| {
            let manifest = Manifest::read_beside(&cleaned.path).ok()??;
            // the table may have been written again since
            (manifest.output(&cleaned.path)?.digest == cleaned.digest).then_some(manifest)
        });
        Self { engineer, process }
    }

    /// The page of `process`; `None` if the file was changed.
    pub(crate) fn process_page(&self) -> Option<FileEntry> {
        let is_page = |entry: &&FileEntry| entry.path.to_string_lossy().ends_with(".report.html");
        self.process.as_ref()?.outputs.iter().find(is_page).and_then(if_unchanged)
    }

    /// The configuration of the table that `engineer` read; `None` if the file was changed.
    pub(crate) fn pipeline_config(&self) -> Option<FileEntry> {
        self.engineer.configs.first().and_then(if_unchanged)
    }

    /// The manifests, the first stage first.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.process.iter().chain([&self.engineer])
    }
}

/// The file, if its digest is still that of `entry`.
fn if_unchanged(entry: &FileEntry) -> Option<FileEntry> {
    FileEntry::from_file(&entry.path).ok().filter(|now| now.digest == entry.digest)
}
