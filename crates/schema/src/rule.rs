//! The rules that rows of a table must satisfy.

/// A rule that a row can break; quarantined rows are counted by rule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// A cell of a `float` column is a number.
    Number,
    /// A cell of an `integer` column is a whole number.
    Integer,
    /// A cell of a `date` column is a date in the column's format.
    Date,
    /// A number is at least `min`.
    Minimum,
    /// A number is at most `max`.
    Maximum,
    /// A category is one of `levels`.
    Level,
    /// A category is printable and not too long.
    Printable,
    /// A `required` cell is not missing.
    Required,
    /// The record is UTF-8 text.
    Utf8,
    /// The record has as many fields as the header.
    Fields,
    /// Quotes surround whole fields and are closed.
    Quotes,
}

impl Rule {
    /// Description of the violation without the value.
    pub fn description(self) -> &'static str {
        match self {
            Self::Number => "not a number",
            Self::Integer => "not an integer",
            Self::Date => "not a date in the column's format",
            Self::Minimum => "below the minimum",
            Self::Maximum => "above the maximum",
            Self::Level => "not one of the levels",
            Self::Printable => "not printable text",
            Self::Required => "missing, and the column is required",
            Self::Utf8 => "not UTF-8 text",
            Self::Fields => "number of fields differs from the header",
            Self::Quotes => "unmatched quotes",
        }
    }

    /// Advice for rows that break the rule; `column` is empty for a whole record.
    pub fn advice(self, column: &str) -> String {
        match self {
            Self::Number | Self::Integer => format!(
                "correct the cells, list the texts of missing values in table.columns.{column}.missing, or give the column another type"
            ),
            Self::Date => format!("set table.columns.{column}.format to the format of the dates"),
            Self::Minimum => format!("correct the cells, or lower table.columns.{column}.min"),
            Self::Maximum => format!("correct the cells, or raise table.columns.{column}.max"),
            Self::Level => {
                format!("add the level to table.columns.{column}.levels, or its spelling to table.columns.{column}.aliases")
            }
            Self::Printable => "remove the characters, or make the column `type: text`".to_owned(),
            Self::Required => format!("fill the cells, or set table.columns.{column}.required: false"),
            Self::Utf8 => {
                "the file is probably Windows-1252 or Latin-1; convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD.csv > NEW.csv"
                    .to_owned()
            }
            Self::Fields => "put cells with commas in quotes".to_owned(),
            Self::Quotes => "double the quotes inside a cell, and put quotes around the whole cell".to_owned(),
        }
    }
}
