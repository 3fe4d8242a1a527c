//! The section `engineer` of `pipeline.yaml`.

use crate::config::ordered_map::OrderedMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of `engineer`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineerSection {
    /// The year that `reference_year` stands for in expressions. It is a fixed value, which is stored in the preprocessor.
    pub reference_year: Option<i32>,
    /// New numeric features: name to arithmetic expression over columns and other derived features. Operators: `+ - * / ^`. Functions:
    /// `log`, `log1p`, `exp`, `sqrt`, `abs`, `floor`, `round`, `min`, `max`, `pow`, `if_missing`, and `year`, `month`, `day`, `weekday` of
    /// a date. A name with spaces is written between backticks. Division by zero and undefined values are missing.
    pub derive: OrderedMap<String>,
    /// Raw columns or derived features that are not features of the model.
    pub drop: Vec<String>,
    /// Imputation of missing values.
    pub impute: ImputeSection,
    /// Encoding of categories as numbers.
    pub encode: EncodeSection,
    /// Treatment of a level that is neither in the schema nor in the training rows.
    pub unknown_category: UnknownCategory,
}

/// Imputation of missing values, fitted on training rows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImputeSection {
    /// For numbers. A missing category is imputed by the most frequent level.
    pub number: NumberImpute,
    /// Fixed values for columns or derived features: a number, or the name of a level.
    pub constants: OrderedMap<serde_json::Value>,
}

/// Statistic of the training rows that replaces a missing number.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberImpute {
    /// The median.
    #[default]
    Median,
    /// The arithmetic mean.
    Mean,
    /// No imputation: the value stays missing. Only trees accept missing values.
    None,
}

/// Encoding of categories as numbers.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncodeSection {
    /// Largest number of one-hot features of a column; rarer levels share the bucket `other`.
    pub max_levels: usize,
    /// Encoding by column. The default is ordinal for an `ordered` column, else one-hot.
    pub columns: OrderedMap<Encoding>,
}

impl Default for EncodeSection {
    fn default() -> Self {
        Self { max_levels: 64, columns: OrderedMap::default() }
    }
}

/// Encoding of a category column.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// One feature `column=level` per level: 1 where the row has it, else 0.
    OneHot,
    /// One feature: 0 for the lowest level, 1 for the next, and so on. Needs `ordered` levels.
    Ordinal,
    /// One feature: the index of the level, without a meaningful order. Trees split it by sets of levels; it does not suit other models.
    Native,
}

/// Treatment of a level that is neither in the schema nor in the training rows.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCategory {
    /// The row is rejected with a list of the allowed levels.
    #[default]
    Reject,
    /// The level belongs to the bucket `other`.
    Other,
}
