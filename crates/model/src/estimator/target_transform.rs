//! What is done to the target before a fit, and undone after it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done to the target before the fit.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetTransform {
    /// Nothing.
    #[default]
    None,
    /// The natural logarithm; the target must be above 0.
    Log,
}

impl TargetTransform {
    /// From the target's unit to the regressor's.
    pub fn forward(self, y: f64) -> f64 {
        match self {
            Self::None => y,
            Self::Log => y.ln(),
        }
    }

    /// Back to the target's unit.
    pub fn inverse(self, y: f64) -> f64 {
        match self {
            Self::None => y,
            Self::Log => y.exp(),
        }
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Log => "log",
        }
    }
}
