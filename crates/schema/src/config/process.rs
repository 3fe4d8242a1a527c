//! The section `process` of `pipeline.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of `process`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessSection {
    /// Split of the rows into training and test rows.
    pub split: SplitSection,
    /// Outliers that are removed from the training rows. Test rows are never removed.
    pub trim: TrimSection,
    /// Largest accepted share of invalid rows, 0 to 1. Above it, the table is rejected (exit 1): the most frequent reasons are listed, the
    /// rows are in `<output>.failed.quarantine.csv`, and outputs of an earlier run are kept.
    #[schemars(extend("default" = 0.05))]
    pub max_quarantined: MaxShare,
}

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct MaxShare(pub f64);

impl Default for MaxShare {
    fn default() -> Self {
        Self(0.05)
    }
}

/// Split by a hash of the seed and the row's content: a row stays in its split when other rows are added.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSection {
    /// Share of test rows, between 0 and 1.
    pub test: f64,
    /// Seed of the split.
    pub seed: u64,
    /// A column whose value decides the split instead of the whole row: rows with the same value (two sales of one house) are in one split.
    pub key: Option<String>,
}

impl Default for SplitSection {
    fn default() -> Self {
        Self { test: 0.2, seed: 42, key: None }
    }
}

/// Outliers among training rows. At most one rule; the default keeps all rows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrimSection {
    /// Removes values outside quartile ± factor × interquartile range (Tukey's fences).
    pub iqr: Option<IqrTrim>,
    /// Removes values outside two quantiles.
    pub quantile: Option<QuantileTrim>,
}

/// Tukey's fences.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IqrTrim {
    /// Distance from the quartiles in interquartile ranges.
    pub factor: f64,
    /// Numeric columns to check; empty for the target.
    pub columns: Vec<String>,
}

impl Default for IqrTrim {
    fn default() -> Self {
        Self { factor: 1.5, columns: Vec::new() }
    }
}

/// Bounds at quantiles.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantileTrim {
    /// Lower quantile (0 to 1); values below it are removed.
    pub lower: f64,
    /// Upper quantile (0 to 1); values above it are removed.
    pub upper: f64,
    /// Numeric columns to check; empty for the target.
    pub columns: Vec<String>,
}

impl Default for QuantileTrim {
    fn default() -> Self {
        Self { lower: 0.005, upper: 0.995, columns: Vec::new() }
    }
}
