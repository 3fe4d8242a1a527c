//! The validated value of one cell.

use std::borrow::Cow;

/// The validated value of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum CellValue<'a> {
    /// A missing value.
    #[default]
    Missing,
    /// A number, or a date as days since 1970-01-01.
    Number(f64),
    /// A level in the spelling of the schema.
    Level(Cow<'a, str>),
}

impl CellValue<'_> {
    /// The same value, with a level of its own.
    pub fn into_owned(self) -> CellValue<'static> {
        match self {
            Self::Missing => CellValue::Missing,
            Self::Number(value) => CellValue::Number(value),
            Self::Level(level) => CellValue::Level(Cow::Owned(level.into_owned())),
        }
    }
}
