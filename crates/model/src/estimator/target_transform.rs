//! Transforms of the target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Transform of the target before a fit; its inverse is applied to predictions.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetTransform {
    /// No transform.
    #[default]
    None,
    /// Natural logarithm; the target must be above 0.
    Log,
}

impl TargetTransform {
    /// Converts from the target's unit to that of the regressor.
    pub fn forward(self, y: f64) -> f64 {
        match self {
            Self::None => y,
            Self::Log => y.ln(),
        }
    }

    /// Converts from the regressor's unit to that of the target.
    pub fn inverse(self, y: f64) -> f64 {
        match self {
            Self::None => y,
            Self::Log => y.exp(),
        }
    }

    /// Name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Log => "log",
        }
    }
}
