//! A model and a preprocessor that cannot be used together.

use std::path::PathBuf;

use artifact::ArtifactError;
use thiserror::Error;

/// Why there is nothing to predict with. Every message names the file.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are what the messages say")]
pub enum PredictorError {
    #[error(transparent)]
    File(#[from] ArtifactError),
    #[error("{}: {reason}", path.display())]
    Unsound { path: PathBuf, reason: String },
    #[error("{}: is not the preprocessor that {} was trained with (its digest begins with {found}, the model names {named})", preprocessor.display(), model.display())]
    Stranger { preprocessor: PathBuf, model: PathBuf, found: String, named: String },
    #[error("the model takes the feature \"{feature}\", which the preprocessor does not make")]
    NoFeature { feature: String },
}
