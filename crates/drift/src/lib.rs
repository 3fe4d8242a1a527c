//! What training rows looked like, and how far other rows are from it.
//!
//! A [`Reference`] holds the bins of every raw column and of the predictions, learned from training rows by a [`Profiler`]. A [`Window`]
//! counts the last rows into the same bins; the population stability index says how far the two are apart.

mod profiler;
mod reference;
mod window;

pub use profiler::Profiler;
pub use reference::{ColumnReference, Distribution, NumberReference, REFERENCE_VERSION, Reference};
pub use window::{Layout, MIN_ROWS, Seen, Window, psi};
