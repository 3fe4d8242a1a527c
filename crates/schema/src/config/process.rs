//! The stages' sections of `configs/pipeline.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of `process`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessSection {
    /// How rows are divided into train and test.
    pub split: SplitSection,
    /// Rows to leave out of training because a value lies far outside. Test rows are never trimmed.
    pub trim: TrimSection,
    /// The largest share of rows, 0 to 1, that may break the schema. Above it the table is rejected (exit 1): the most frequent reasons
    /// are named, the rows are in `<output>.failed.quarantine.csv`, and the outputs of an earlier run stay as they are.
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

/// How rows are divided: by a hash of the seed and the row's own content, so that a row keeps its side when others come.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSection {
    /// The share of rows to test on, between 0 and 1.
    pub test: f64,
    /// Another seed gives another division.
    pub seed: u64,
    /// A column whose value decides instead of the whole row: rows that share it (two sales of one house) stay together.
    pub key: Option<String>,
}

impl Default for SplitSection {
    fn default() -> Self {
        Self { test: 0.2, seed: 42, key: None }
    }
}

/// Which training rows are left out. At most one rule; none leaves all in.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrimSection {
    /// Tukey's fences: outside quartile ± factor × interquartile range.
    pub iqr: Option<IqrTrim>,
    /// Outside two quantiles.
    pub quantile: Option<QuantileTrim>,
}

/// Tukey's fences.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IqrTrim {
    /// How many interquartile ranges beyond the quartiles.
    pub factor: f64,
    /// Numeric columns to look at; the target where empty.
    pub columns: Vec<String>,
}

impl Default for IqrTrim {
    fn default() -> Self {
        Self { factor: 1.5, columns: Vec::new() }
    }
}

/// Fences at quantiles.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantileTrim {
    /// Values below this quantile (0 to 1) are left out.
    pub lower: f64,
    /// Values above this quantile (0 to 1) are left out.
    pub upper: f64,
    /// Numeric columns to look at; the target where empty.
    pub columns: Vec<String>,
}

impl Default for QuantileTrim {
    fn default() -> Self {
        Self { lower: 0.005, upper: 0.995, columns: Vec::new() }
    }
}
