//! The files that `engineer` wrote: the featured table, the preprocessor beside it and the reference of drift.

use std::path::Path;

use anyhow::Context;
use artifact::{FileEntry, Manifest, bundle_file_limit, check_input, read_bounded, read_envelope};
use drift::Reference;
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};
use predictor::REFERENCE_FILE;

/// The outputs of `engineer`, checked against its manifest.
pub(crate) struct EngineerOutputs {
    pub(crate) manifest: Manifest,
    /// The featured table.
    pub(crate) data: FileEntry,
    pub(crate) preprocessor_file: FileEntry,
}

impl EngineerOutputs {
    /// Reads the manifest beside the featured table `data`, and checks the digests of the table and of the preprocessor.
    ///
    /// # Errors
    /// If a file is missing, or is not the one that `engineer` wrote.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let (manifest, data_file) = check_input(data, "engineer")?;
        let preprocessor = manifest.output_beside(data).context("the manifest names no preprocessor")?.path.clone();
        let (_, preprocessor_file) = check_input(&preprocessor, "engineer")?;
        Ok(Self { manifest, data: data_file, preprocessor_file })
    }

    /// The file with the distributions of the training rows, and its content.
    ///
    /// # Errors
    /// If the manifest names no such file, or it is invalid.
    pub(crate) fn reference(&self) -> anyhow::Result<(FileEntry, Reference)> {
        let entry = self.manifest.outputs.iter().find(|entry| entry.path.to_string_lossy().ends_with(".reference.json"));
        let path = &entry.context("the featured table was written by an older program: run `engineer` again")?.path;
        let (_, file) = check_input(path, "engineer")?;
        let bytes = read_bounded(path, bundle_file_limit(REFERENCE_FILE).unwrap_or(0))?;
        let reference = Reference::parse(&bytes).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
        Ok((file, reference))
    }

    /// The fitted preprocessor.
    ///
    /// # Errors
    /// If its file is invalid.
    pub(crate) fn preprocessor(&self) -> anyhow::Result<Preprocessor> {
        let path = &self.preprocessor_file.path;
        let file: PreprocessorFile = read_envelope(path, PREPROCESSOR.into(), "Run `engineer` to write it")?;
        Preprocessor::from_file(file).with_context(|| format!("{}", path.display()))
    }
}
