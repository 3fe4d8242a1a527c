//! The errors of opening a model with its preprocessor.

use std::path::PathBuf;

use artifact::ArtifactError;
use thiserror::Error;

/// A model and a preprocessor cannot be opened. Every message names the file.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages describe the fields")]
pub enum PredictorError {
    #[error(transparent)]
    File(#[from] ArtifactError),
    #[error("{}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("{}: is not the preprocessor that {} was trained with (its digest begins with {found}, the model names {named})", preprocessor.display(), model.display())]
    PreprocessorMismatch { preprocessor: PathBuf, model: PathBuf, found: String, named: String },
    #[error("the model needs the feature \"{feature}\", which the preprocessor does not create")]
    MissingFeature { feature: String },
}
