//! The files that the stage writes below `--output`.

use std::path::PathBuf;

use artifact::{
    ArtifactError, Digest, FileEntry, Manifest, Mark, OutputKind, read_bundle, write_atomically, write_bundle_archive,
    write_bundle_folder,
};

use crate::{bundle::assemble::BundleDraft, card::document::CardDocument, config::Config};

/// The name of the stage in manifests.
pub(crate) const STAGE: &str = "package";
/// The version of the stage in manifests.
pub(crate) const STAGE_VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHIVE_KIND: OutputKind = OutputKind { name: "the archive of a bundle", mark: Mark::Bytes(&[0x1f, 0x8b]) };
const CARD_KIND: OutputKind = OutputKind { name: "the card of a model", mark: Mark::Text("# ", "\n\nPredicts ") };

/// The paths that are written below `--output`.
pub(crate) struct OutputPaths {
    pub(crate) folder: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) card_page: PathBuf,
    pub(crate) card_text: PathBuf,
}

impl OutputPaths {
    /// The paths of the bundle called `name`.
    pub(crate) fn new(config: &Config, name: &str) -> Self {
        let at = |suffix: &str| config.output.join(format!("{name}{suffix}"));
        Self { folder: at(""), archive: at(".tar.gz"), card_page: at(".card.html"), card_text: at(".card.md") }
    }

    /// Whether the folder exists with the content of the draft.
    pub(crate) fn has_folder(&self, draft: &BundleDraft) -> bool {
        self.folder.exists() && read_bundle(&self.folder).is_ok_and(|files| files == draft.files)
    }

    /// Whether a run with these settings and inputs wrote the archive and the cards, and they did not change since.
    pub(crate) fn are_current(&self, settings: &Digest, inputs: &[FileEntry]) -> bool {
        let files = [self.archive.clone(), self.card_page.clone(), self.card_text.clone()];
        Manifest::read_beside(&self.archive)
            .unwrap_or(None)
            .is_some_and(|manifest| manifest.is_current(STAGE, STAGE_VERSION, settings, inputs, &files))
    }

    /// Checks that no input would be overwritten. A folder that already has the same content is not written.
    ///
    /// # Errors
    /// Names the two paths.
    pub(crate) fn validate(&self, config: &Config, has_folder: bool) -> Result<(), ArtifactError> {
        let mut paths = config.paths.clone();
        if !has_folder {
            paths = paths.output_folder("the bundle in --output", &self.folder);
        }
        paths
            .stage_output("the archive in --output", &self.archive, ARCHIVE_KIND)
            .stage_output("the card in --output", &self.card_page, OutputKind::PAGE)
            .stage_output("the card in --output", &self.card_text, CARD_KIND)
            .check()
    }

    /// Writes the bundle and the card; returns the files beside the folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(
        &self,
        draft: &BundleDraft,
        has_folder: bool,
        card: &CardDocument,
    ) -> Result<Vec<FileEntry>, ArtifactError> {
        if !has_folder {
            write_bundle_folder(&self.folder, &draft.files)?;
        }
        Ok(vec![
            write_bundle_archive(&self.archive, &draft.manifest.folder(), &draft.files)?,
            write_atomically(&self.card_page, card.page().as_bytes())?,
            write_atomically(&self.card_text, card.markdown().as_bytes())?,
        ])
    }
}
