//! What `engineer` left: the featured table, the preprocessor beside it and what training rows look like, checked.

use std::path::Path;

use anyhow::Context;
use artifact::{FileEntry, Manifest, bundle_file_limit, check_input, read_bounded, read_envelope};
use drift::Reference;
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};
use predictor::REFERENCE_FILE;

/// The manifest of the stage, and the entries of the featured table at `path` and of the preprocessor.
pub(crate) fn given(path: &Path) -> anyhow::Result<(Manifest, FileEntry, FileEntry)> {
    let (engineer, data) = check_input(path, "engineer")?;
    let preprocessor = engineer.output_beside(path).context("the manifest names no preprocessor")?.path.clone();
    let (_, preprocessor) = check_input(&preprocessor, "engineer")?;
    Ok((engineer, data, preprocessor))
}

/// The file that says what training rows look like, and what it says.
pub(crate) fn reference(engineer: &Manifest) -> anyhow::Result<(FileEntry, Reference)> {
    let named = engineer.outputs.iter().find(|entry| entry.path.to_string_lossy().ends_with(".reference.json"));
    let path = &named.context("the featured table was written by an older program: run `engineer` again")?.path;
    let (_, file) = check_input(path, "engineer")?;
    let bytes = read_bounded(path, bundle_file_limit(REFERENCE_FILE).unwrap_or(0))?;
    let found = Reference::parse(&bytes).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
    Ok((file, found))
}

/// The preprocessor in a file of it.
pub(crate) fn open(preprocessor: &FileEntry) -> anyhow::Result<Preprocessor> {
    let file: PreprocessorFile = read_envelope(&preprocessor.path, PREPROCESSOR.into(), "Run `engineer` to write it")?;
    Preprocessor::from_file(file).with_context(|| format!("{}", preprocessor.path.display()))
}
