//! Settings of `package`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ordered_map::Ordered;

/// Settings of `package`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackageSection {
    /// Bounds on the test metrics `mae`, `rmse`, `r2`, `mape`, `median_ae`, or on `cv_r2`, `cv_mae`, `cv_rmse` (means over folds).
    /// A model outside them is not packaged (exit 1).
    pub gate: Ordered<GateBound>,
    /// When a model may take the place of the champion: in `train promote`, and in `package --champion`.
    pub champion: ChampionSection,
    /// What is asked of intervals on test rows.
    pub coverage: CoverageSection,
    /// How much suspicion is borne.
    pub leakage: LeakageSection,
}

/// What is asked of intervals on test rows.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoverageSection {
    /// How far the share of test targets within their intervals may lie below what `intervals.coverage` asks for, if that is no accident
    /// (its 95 % interval lies below, too).
    pub max_shortfall: f64,
}

impl Default for CoverageSection {
    fn default() -> Self {
        Self { max_shortfall: 0.05 }
    }
}

/// How much suspicion is borne that the score looks better than it is.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakageSection {
    /// The R² that a feature may have on its own, on training rows that were held out; `train` looks at those of 0.98 and above. 1 lets
    /// every one pass.
    pub max_r2_alone: f64,
    /// The share of test rows that may have the very features of a training row.
    pub max_copied_rows: f64,
}

impl Default for LeakageSection {
    fn default() -> Self {
        Self { max_r2_alone: 0.99, max_copied_rows: 0.05 }
    }
}

/// When a model may take the place of the one that is in use: not worse on the same test rows, but for a margin.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChampionSection {
    /// The metric that decides: `mae`, `rmse`, `mape`, `median_ae` (the smaller the better) or `r2`.
    pub metric: String,
    /// How much worse it may be: a share of the champion's (0.02 is 2 %), or for `r2` a difference.
    pub margin: f64,
}

impl Default for ChampionSection {
    fn default() -> Self {
        Self { metric: "mae".into(), margin: 0.0 }
    }
}

/// The bounds of one metric. MAPE is a fraction; MAE, RMSE and the median error are in the target's unit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateBound {
    /// The metric must be at least this.
    pub min: Option<f64>,
    /// The metric must be at most this.
    pub max: Option<f64>,
}
