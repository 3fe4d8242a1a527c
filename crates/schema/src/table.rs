//! Validated columns in memory, from a file or from one request.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// The code of a missing category.
pub const MISSING_LEVEL: u32 = u32::MAX;

/// A category column: one code per row, and the levels of the codes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Categories {
    /// Code of each row: an index into `levels`, or [`MISSING_LEVEL`].
    pub codes: Vec<u32>,
    /// The levels that occur, in no particular order.
    pub levels: Vec<String>,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers (and dates, as days since 1970-01-01); NaN is a missing cell.
    Number(Vec<f64>),
    /// Categories.
    Category(Categories),
}

/// Named columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    rows: usize,
    columns: Vec<(String, Values)>,
    /// Index of each column by name.
    places: FxHashMap<String, usize>,
}

impl Table {
    /// A table of `rows` rows, without columns.
    pub fn new(rows: usize) -> Self {
        Self { rows, ..Self::default() }
    }

    /// Adds a column.
    ///
    /// # Panics
    /// If its length is not that of the table (a mistake of the caller).
    pub fn push(&mut self, name: impl Into<String>, values: Values) {
        let len = match &values {
            Values::Number(values) => values.len(),
            Values::Category(values) => values.codes.len(),
        };
        assert_eq!(len, self.rows, "a column must have as many values as the table has rows");
        let name = name.into();
        self.places.entry(name.clone()).or_insert(self.columns.len());
        self.columns.push((name, values));
    }

    /// The rows with these indices, in this order.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let select = |values: &Values| match values {
            Values::Number(values) => Values::Number(rows.iter().map(|row| values[*row]).collect()),
            Values::Category(values) => Values::Category(Categories {
                codes: rows.iter().map(|row| values.codes[*row]).collect(),
                levels: values.levels.clone(),
            }),
        };
        Self {
            rows: rows.len(),
            columns: self.columns.iter().map(|(name, values)| (name.clone(), select(values))).collect(),
            places: self.places.clone(),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The column called `name`.
    pub fn get(&self, name: &str) -> Option<&Values> {
        self.places.get(name).map(|place| &self.columns[*place].1)
    }
}
