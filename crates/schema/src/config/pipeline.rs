//! `configs/pipeline.yaml` as typed: the table, and a section per stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    engineer::EngineerSection, error::ConfigError, ordered_map::Ordered, package::PackageSection, process::ProcessSection,
};

/// The table and the settings of every stage but `train`, whose settings are in `model_config.yaml`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// The raw table: its target, what counts as missing, and its columns.
    pub table: TableSection,
    /// Settings of `process`.
    #[serde(default)]
    pub process: ProcessSection,
    /// Settings of `engineer`.
    #[serde(default)]
    pub engineer: EngineerSection,
    /// Settings of `package`.
    #[serde(default)]
    pub package: PackageSection,
}

/// What the raw table must look like.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableSection {
    /// The column to predict. It must be a `float` or an `integer` column.
    pub target: String,
    /// Cells that mean "no value here", compared after trimming and with their case. A column may have its own list.
    #[serde(default = "default_missing")]
    pub missing: Vec<String>,
    /// Every column of the table by its name in the header, in any order.
    pub columns: Ordered<ColumnSpec>,
}

fn default_missing() -> Vec<String> {
    ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "?"].map(String::from).to_vec()
}

/// What the cells of one column must look like.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// What kind of value a cell holds.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether a missing cell breaks the schema (the row goes to the quarantine file).
    #[serde(default)]
    pub required: bool,
    /// The smallest value allowed, in the column's own unit. For `float` and `integer`.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest value allowed, in the column's own unit. For `float` and `integer`.
    #[serde(default)]
    pub max: Option<f64>,
    /// The levels allowed, compared after trimming and without regard to case; from low to high where `ordered`.
    /// Without it any text is a level. For `category`.
    #[serde(default)]
    pub levels: Vec<String>,
    /// Whether `levels` are listed from low to high. For `category`.
    #[serde(default)]
    pub ordered: bool,
    /// Other spellings of a level: spelling to level. For `category`.
    #[serde(default)]
    pub aliases: Ordered<String>,
    /// What counts as missing in this column, in place of the table's list.
    #[serde(default)]
    pub missing: Option<Vec<String>>,
    /// How a date is written, in strftime's notation: `%Y-%m-%d` unless told. For `date`.
    #[serde(default)]
    pub format: Option<String>,
}

/// The kinds of column.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A number.
    Float,
    /// A whole number.
    Integer,
    /// One of a set of levels.
    Category,
    /// A calendar day. Not a feature by itself: derive one with `year(...)`, `month(...)` or by subtraction.
    Date,
    /// Names the row. Never a feature.
    Id,
    /// Free text. Never a feature.
    Text,
}

impl ColumnType {
    /// Whether cells are numbers as they stand.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Float | Self::Integer)
    }

    /// The type's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Category => "category",
            Self::Date => "date",
            Self::Id => "id",
            Self::Text => "text",
        }
    }
}

impl PipelineConfig {
    /// Parses the text of a `pipeline.yaml`. Columns and stages are checked where they are used: see
    /// [`Schema::check`](crate::column::Schema::check).
    ///
    /// # Errors
    /// With line and column where the text is not YAML, has an unknown key or a value of the wrong type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        crate::config::yaml::parse_yaml(text)
    }

    /// The settings that bear on what `process` writes.
    pub fn process_settings(&self) -> impl Serialize {
        (&self.table, &self.process)
    }

    /// The settings that bear on what `engineer` writes.
    pub fn engineer_settings(&self) -> impl Serialize {
        (&self.table, &self.engineer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        PipelineConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_reference_is_current() {
        let body = crate::config::reference::render_reference("pipeline.yaml", &schemars::schema_for!(PipelineConfig));
        let text = format!("# Pipeline configuration reference\n\nGenerated from the program; do not edit.\n\n{body}");
        // read when the test runs: checkouts may share compiled tests
        let path = format!("{}/../../docs/pipeline_config.md", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "docs/pipeline_config.md is out of date: run UPDATE_DOCS=1 scripts/test.sh");
    }

    #[test]
    fn bad_yaml_is_named_by_line_and_column() {
        assert_eq!(
            error_of("table:\n\ttarget: price\n"),
            "2:1: found character that cannot start any token, while scanning for the next token"
        );
        assert_eq!(
            error_of("table:\n  target: price\n  columns:\n    price: {type: float, mim: 3}\n"),
            "4:26: table.columns.price: unknown field `mim`, expected one of `type`, `required`, `min`, `max`, `levels`, \
             `ordered`, `aliases`, `missing`, `format`"
        );
        assert_eq!(
            error_of("table:\n  target: price\n  columns:\n    price: {type: floot}\n"),
            "4:19: table.columns.price.type: unknown variant `floot`, expected one of `float`, `integer`, `category`, \
             `date`, `id`, `text`"
        );
        assert_eq!(
            error_of("table:\n  target: p\n  columns:\n    p: {type: float}\n    p: {type: float}\n"),
            "4:5: table.columns: `p` is written twice"
        );
        assert_eq!(error_of("\n"), " the file is empty");
    }
}
