//! Loads a model: from the folder or archive of a bundle, or from a registry by a `models:/…` URI. It reads disks and talks to servers.

pub mod bundle;
pub mod registered;
mod source;

pub use source::Source;

/// The share of targets that intervals hold, where the model does not state one.
const DEFAULT_COVERAGE: f64 = 0.9;
