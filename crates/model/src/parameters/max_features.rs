//! Number of features that are searched for a split.

use serde_json::{Value, json};

/// A number of features in the notation of scikit-learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFeatures {
    /// This share of the features.
    Share(f64),
    /// This number of features.
    Count(usize),
    /// The square root of the number of features.
    Sqrt,
    /// The binary logarithm of the number of features.
    Log2,
}

impl MaxFeatures {
    /// The number of features out of `width`.
    pub(crate) fn count(self, width: usize) -> usize {
        let count = match self {
            Self::Share(share) => (share * width as f64) as usize,
            Self::Count(count) => count,
            Self::Sqrt => (width as f64).sqrt() as usize,
            Self::Log2 => (width as f64).log2() as usize,
        };
        count.clamp(1, width.max(1))
    }

    /// The value in the configuration.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Share(share) => json!(share),
            Self::Count(count) => json!(count),
            Self::Sqrt => json!("sqrt"),
            Self::Log2 => json!("log2"),
        }
    }
}
