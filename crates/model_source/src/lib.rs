//! Loads a model: from the folder or archive of a bundle, from a folder of models, or from a registry by a `models:/…` URI. It reads disks and talks to servers.

pub mod bundle;
mod models_dir;
pub mod registered;
mod source;

pub use models_dir::ModelsDir;
pub use source::Source;

/// The share of targets that intervals hold, where the model does not state one.
const DEFAULT_COVERAGE: f64 = 0.9;
