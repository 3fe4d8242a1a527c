//! Where the featured table came from, as far as the manifests beside the files still tell.

use artifact::{FileEntry, Manifest};

/// What came before `train`.
pub(crate) struct Lineage {
    /// Of the stage that wrote the featured table.
    pub(crate) engineer: Manifest,
    /// Of the stage that wrote the cleaned table, if its manifest is still there.
    pub(crate) process: Option<Manifest>,
}

impl Lineage {
    /// Looks behind the manifest of the featured table.
    pub(crate) fn of(engineer: Manifest) -> Self {
        let cleaned = engineer.inputs.first();
        let process = cleaned.and_then(|cleaned| {
            let manifest = Manifest::read_beside(&cleaned.path).ok()??;
            // the table may have been written anew since
            (manifest.output(&cleaned.path)?.digest == cleaned.digest).then_some(manifest)
        });
        Self { engineer, process }
    }

    /// The page of `process`, as it wrote it.
    pub(crate) fn process_page(&self) -> Option<FileEntry> {
        let page = |entry: &&FileEntry| entry.path.to_string_lossy().ends_with(".report.html");
        self.process.as_ref()?.outputs.iter().find(page).and_then(as_recorded)
    }

    /// The table's configuration, as `engineer` read it.
    pub(crate) fn pipeline_config(&self) -> Option<FileEntry> {
        self.engineer.configs.first().and_then(as_recorded)
    }

    /// The manifests, the first stage first.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.process.iter().chain([&self.engineer])
    }
}

/// The file, if it is what it was.
fn as_recorded(entry: &FileEntry) -> Option<FileEntry> {
    FileEntry::from_file(&entry.path).ok().filter(|now| now.digest == entry.digest)
}
