//! Errors of a fit.

use thiserror::Error;

/// An error of a fit.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FitError {
    /// The algorithm needs more rows than there are.
    #[error(
        "cannot fit: {rows} training rows are too few for this many features, at least {needed} are needed. Use fewer features or another algorithm"
    )]
    TooFewRows {
        /// Number of rows.
        rows: usize,
        /// Smallest number of rows.
        needed: usize,
    },
    /// The solver failed.
    #[error("the fit failed: {0}")]
    Engine(String),
    /// A feature or the target is not a finite number.
    #[error("{column} of training row {row} is not a finite number")]
    NotFinite {
        /// Name of the column.
        column: String,
        /// Number of the row, from 1.
        row: usize,
    },
}

impl FitError {
    pub(crate) fn engine(error: impl ToString) -> Self {
        Self::Engine(error.to_string())
    }
}
