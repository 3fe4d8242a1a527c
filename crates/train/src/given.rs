//! What `engineer` left: the featured table and the preprocessor beside it, checked.

use std::path::Path;

use anyhow::Context;
use artifact::{FileEntry, Manifest, check_input, read_envelope};
use features::{PREPROCESSOR, Preprocessor, PreprocessorFile};

/// The manifest of the stage, and the entries of the featured table at `path` and of the preprocessor.
pub(crate) fn given(path: &Path) -> anyhow::Result<(Manifest, FileEntry, FileEntry)> {
    let (engineer, data) = check_input(path, "engineer")?;
    let preprocessor = engineer.output_beside(path).context("the manifest names no preprocessor")?.path.clone();
    let (_, preprocessor) = check_input(&preprocessor, "engineer")?;
    Ok((engineer, data, preprocessor))
}

/// The preprocessor in a file of it.
pub(crate) fn open(preprocessor: &FileEntry) -> anyhow::Result<Preprocessor> {
    let file: PreprocessorFile = read_envelope(&preprocessor.path, PREPROCESSOR.into(), "Run `engineer` to write it")?;
    Preprocessor::check(file).with_context(|| format!("{}", preprocessor.path.display()))
}
