//! The names of gates.

use clap::ValueEnum;

/// A gate that may fail with a reason
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum GateName {
    /// Bounds of test metrics: package.gate
    Thresholds,
    /// No worse than the champion on the same test rows
    Champion,
    /// Coverage of prediction intervals on test rows
    Coverage,
    /// No leakage that makes test metrics look better than they are
    Leakage,
    /// Accepts everything that the champion accepts
    Schema,
}

impl GateName {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Thresholds => "thresholds",
            Self::Champion => "champion",
            Self::Coverage => "coverage",
            Self::Leakage => "leakage",
            Self::Schema => "schema",
        }
    }
}
