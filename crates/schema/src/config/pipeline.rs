//! The file `configs/pipeline.yaml`: the table, and one section per stage.

use crate::config::error::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{engineer::EngineerSection, ordered_map::OrderedMap, package::PackageSection, process::ProcessSection};

/// The table, and the settings of all stages except `train`, which has `model_config.yaml`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// The raw table: its target, texts of missing values, and columns.
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

/// The specification of the raw table.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TableSection {
    /// The column to predict. It must be a `float` or an `integer` column.
    pub target: String,
    /// Texts of missing values, compared after trimming and with case. A column can have its own list.
    #[serde(default = "default_missing")]
    pub missing: Vec<String>,
    /// All columns of the table by name, in any order.
    pub columns: OrderedMap<ColumnSpec>,
}

fn default_missing() -> Vec<String> {
    ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "?"].map(String::from).to_vec()
}

/// The specification of one column.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Type of the values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// True if a missing value is invalid (the row goes to the quarantine file).
    #[serde(default)]
    pub required: bool,
    /// Smallest allowed value, in the column's own unit. For `float` and `integer`.
    #[serde(default)]
    pub min: Option<f64>,
    /// Largest allowed value, in the column's own unit. For `float` and `integer`.
    #[serde(default)]
    pub max: Option<f64>,
    /// Allowed levels, compared after trimming and without case; from low to high if `ordered`. Without a list, every text is a level. For
    /// `category`.
    #[serde(default)]
    pub levels: Vec<String>,
    /// True if `levels` are in order from low to high. For `category`.
    #[serde(default)]
    pub ordered: bool,
    /// Other spellings of a level: spelling to level. For `category`.
    #[serde(default)]
    pub aliases: OrderedMap<String>,
    /// Texts of missing values of this column, instead of the table's list.
    #[serde(default)]
    pub missing: Option<Vec<String>>,
    /// Format of dates in strftime's notation; the default is `%Y-%m-%d`. For `date`.
    #[serde(default)]
    pub format: Option<String>,
}

/// Types of columns.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A number.
    Float,
    /// An integer.
    Integer,
    /// One of a set of levels.
    Category,
    /// A calendar day. It is not a feature itself: derive one with `year(...)`, `month(...)` or by subtraction.
    Date,
    /// An identifier of the row. Never a feature.
    Id,
    /// Free text. Never a feature.
    Text,
}

impl ColumnType {
    /// True if cells are numbers.
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
    /// Parses the text of a `pipeline.yaml`. Columns and stages are validated where they are used, see
    /// [`Schema::from_section`](crate::column::Schema::from_section).
    ///
    /// # Errors
    /// If the text is not YAML, or has an unknown key or a value of the wrong type; with line and column.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        crate::config::yaml::parse_yaml(text)
    }

    /// The settings that affect the outputs of `process`.
    pub fn process_settings(&self) -> impl Serialize {
        (&self.table, &self.process)
    }

    /// The settings that affect the outputs of `engineer`.
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
        // read at run time, because checkouts can share compiled tests
        let path = format!("{}/../../docs/pipeline_config.md", std::env::var("CARGO_MANIFEST_DIR").unwrap());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "docs/pipeline_config.md is out of date: run UPDATE_DOCS=1 scripts/test.sh");
    }

    #[test]
    fn invalid_yaml_is_an_error_with_line_and_column() {
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
