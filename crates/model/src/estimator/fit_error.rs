//! Why a model could not be fitted.

use thiserror::Error;

/// Why a regressor could not be fitted.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FitError {
    /// The algorithm needs more rows than there are.
    #[error(
        "{rows} training rows are too few: at least {needed} are needed for this many features. Use fewer features or another algorithm"
    )]
    TooFewRows {
        /// Rows at hand.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// The engine said no.
    #[error("the fit failed: {0}")]
    Engine(String),
    /// A feature or the target is not a finite number.
    #[error("{column} of training row {row} is not a finite number")]
    NotFinite {
        /// Which column.
        column: String,
        /// Which row, from 1.
        row: usize,
    },
}

impl FitError {
    pub(crate) fn engine(error: impl ToString) -> Self {
        Self::Engine(error.to_string())
    }
}
