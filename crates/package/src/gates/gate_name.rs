//! The names of gates.

use clap::ValueEnum;

/// A gate that may be let pass with a reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum GateName {
    /// Bounds on test metrics: package.gate
    Thresholds,
    /// No worse than the champion on the same test rows
    Champion,
    /// Intervals hold what they promise on test rows
    Coverage,
    /// Nothing that lets the score look better than it is
    Leakage,
    /// Whatever the champion took is taken
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
