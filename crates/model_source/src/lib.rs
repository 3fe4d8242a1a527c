//! Loads a model from a bundle (a folder or archive), or from a registry by a `models:/…` URI. It uses files and the network.

pub mod bundle;
pub mod registered;
mod source;

pub use source::Source;

/// The expected coverage of prediction intervals, if the model does not state one.
const DEFAULT_COVERAGE: f64 = 0.9;
