//! The section `package` of `pipeline.yaml`.

use crate::config::ordered_map::OrderedMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of `package`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackageSection {
    /// Thresholds of the test metrics `mae`, `rmse`, `r2`, `mape`, `median_ae`, or of `cv_r2`, `cv_mae`, `cv_rmse` (means over folds). A
    /// model outside them is not packaged (exit 1).
    pub gate: OrderedMap<GateBound>,
    /// Condition to replace the champion, in `train promote` and in `package --champion`.
    pub champion: ChampionSection,
    /// Required coverage of prediction intervals on test rows.
    pub coverage: CoverageSection,
    /// Accepted signs of leakage.
    pub leakage: LeakageSection,
}

/// Required coverage of prediction intervals on test rows.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoverageSection {
    /// Largest accepted shortfall of the coverage on test rows below `intervals.coverage`. A shortfall fails only if the 95 % confidence
    /// interval of the coverage is below, too.
    pub max_shortfall: f64,
}

impl Default for CoverageSection {
    fn default() -> Self {
        Self { max_shortfall: 0.05 }
    }
}

/// Accepted signs of leakage, which make a score too good.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakageSection {
    /// Largest accepted R² of a single feature on validation rows; `train` records features from 0.98 on. 1 accepts all features.
    pub max_r2_alone: f64,
    /// Largest accepted share of test rows with the same features as a training row.
    pub max_copied_rows: f64,
}

impl Default for LeakageSection {
    fn default() -> Self {
        Self { max_r2_alone: 0.99, max_copied_rows: 0.05 }
    }
}

/// Condition to replace the champion: not worse on the same test rows, up to a margin.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChampionSection {
    /// The metric of the comparison: `mae`, `rmse`, `mape`, `median_ae` (smaller is better) or `r2`.
    pub metric: String,
    /// Accepted deterioration: a share of the champion's metric (0.02 is 2 %), or a difference for `r2`.
    pub margin: f64,
}

impl Default for ChampionSection {
    fn default() -> Self {
        Self { metric: "mae".into(), margin: 0.0 }
    }
}

/// Thresholds of one metric. MAPE is a fraction; MAE, RMSE and the median error are in the target's unit.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateBound {
    /// Smallest accepted value.
    pub min: Option<f64>,
    /// Largest accepted value.
    pub max: Option<f64>,
}
