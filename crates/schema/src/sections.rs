//! The stages' sections of `configs/pipeline.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Ordered;

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

/// Settings of `engineer`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineerSection {
    /// The year that `reference_year` stands for in expressions. A value, not a clock: it is stored in the preprocessor.
    pub reference_year: Option<i32>,
    /// New numeric features: name to arithmetic expression over columns and other derived features. Operators `+ - * / ^`,
    /// functions `log`, `log1p`, `exp`, `sqrt`, `abs`, `floor`, `round`, `min`, `max`, `pow`, `if_missing`, and `year`,
    /// `month`, `day`, `weekday` of a date.
    /// A name with blanks is written between backticks. Division by zero, and whatever has no value, is missing.
    pub derive: Ordered<String>,
    /// Raw columns or derived features that are not features themselves.
    pub drop: Vec<String>,
    /// What takes the place of a missing value.
    pub impute: ImputeSection,
    /// How categories become numbers.
    pub encode: EncodeSection,
    /// What to do with a level that the schema does not list and training did not see.
    pub unknown_category: UnknownCategory,
}

/// What takes the place of a missing value; learned from training rows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImputeSection {
    /// For numbers. A missing category takes the most frequent level.
    pub number: NumberImpute,
    /// Fixed values for some columns or derived features: a number, or a level's name for a category.
    pub constants: Ordered<serde_json::Value>,
}

/// Which statistic of the training rows fills a missing number.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberImpute {
    /// The median.
    #[default]
    Median,
    /// The arithmetic mean.
    Mean,
    /// Nothing: the value stays missing, for models that find out themselves which way missing values go. Trees take them, others
    /// refuse them.
    None,
}

/// How categories become numbers.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncodeSection {
    /// One-hot features a column may have at most; the rarer levels share the bucket `other`.
    pub max_levels: usize,
    /// The encoding of single columns. Others: ordinal where the column is `ordered`, else one-hot.
    pub columns: Ordered<Encoding>,
}

impl Default for EncodeSection {
    fn default() -> Self {
        Self { max_levels: 64, columns: Ordered::default() }
    }
}

/// How one category column becomes numbers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// A feature `column=level` a level: 1 where the row has it, else 0.
    OneHot,
    /// One feature: 0 for the lowest level, 1 for the next, and so on. Needs `ordered` levels.
    Ordinal,
    /// One feature: the place of the level among the levels, which says nothing of their order. Trees split it by sets of levels; other
    /// models should not be given it.
    Native,
}

/// What to do with a level that the schema does not list and training did not see.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCategory {
    /// The row is refused, with the levels allowed.
    #[default]
    Reject,
    /// It falls into the bucket `other`.
    Other,
}

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
