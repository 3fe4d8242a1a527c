//! Drift of rows from the training data.
//!
//! A [`Profiler`] fits a [`Reference`] to training rows: the bins of all raw columns and of the predictions. A [`Window`] counts the latest
//! rows in the same bins. The population stability index measures the drift between the two.

mod profiler;
mod reference;
mod window;

pub use profiler::Profiler;
pub use reference::{ColumnReference, Distribution, NumberReference, REFERENCE_VERSION, Reference};
pub use window::{Layout, MIN_ROWS, Window, psi};
