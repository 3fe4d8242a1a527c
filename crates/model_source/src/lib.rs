//! Loads a model from a bundle, from a folder of models, or from a registry by a `models:/…` URI. It uses files and the network.

pub mod bundle;
mod models_dir;
pub mod registered;
mod source;

pub use models_dir::ModelsDir;
pub use source::Source;

/// The expected coverage of prediction intervals, if the model does not state one.
const DEFAULT_COVERAGE: f64 = 0.9;
