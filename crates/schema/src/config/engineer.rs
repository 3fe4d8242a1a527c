//! Settings of `engineer`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ordered_map::Ordered;

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
