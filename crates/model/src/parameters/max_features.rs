//! How many features a split looks at.

use serde_json::{Value, json};

/// A number of features, as scikit-learn takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFeatures {
    /// This share of them.
    Share(f64),
    /// This many.
    Count(usize),
    /// The root of their number.
    Sqrt,
    /// The binary logarithm of their number.
    Log2,
}

impl MaxFeatures {
    /// How many of `width`.
    pub(crate) fn of(self, width: usize) -> usize {
        let count = match self {
            Self::Share(share) => (share * width as f64) as usize,
            Self::Count(count) => count,
            Self::Sqrt => (width as f64).sqrt() as usize,
            Self::Log2 => (width as f64).log2() as usize,
        };
        count.clamp(1, width.max(1))
    }

    /// As it is configured.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Share(share) => json!(share),
            Self::Count(count) => json!(count),
            Self::Sqrt => json!("sqrt"),
            Self::Log2 => json!("log2"),
        }
    }
}
