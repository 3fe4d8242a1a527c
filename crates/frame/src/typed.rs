//! Reads the pipeline's own files, whose columns are what the stage before wrote.

use polars::prelude::*;
use rustc_hash::FxHashMap;
use schema::{Categories, MISSING_LEVEL, SPLIT_COLUMN, TEST, TRAIN};

use crate::{error::FrameError, source::Block};

/// What a column of one of our own files holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Numbers.
    Number,
    /// Text.
    Text,
}

/// A block of one of our own files.
#[derive(Debug)]
pub struct TypedTable {
    frame: DataFrame,
}

impl Block {
    /// Reads the block, each column as `kind` says of its name.
    ///
    /// # Errors
    /// With line, column and value of a cell that is not of its kind, or a record that is not well formed: the file was
    /// changed since it was written.
    pub fn typed(&self, kind: &dyn Fn(&str) -> Kind) -> Result<TypedTable, FrameError> {
        if let Some((line, message)) = self.malformed() {
            return Err(FrameError::Header { path: self.path.clone(), line, message });
        }
        let type_of = |name: &str| match kind(name) {
            Kind::Number => DataType::Float64,
            Kind::Text => DataType::String,
        };
        match self.parse(false, &type_of) {
            Ok(frame) => Ok(TypedTable { frame }),
            Err(error) => Err(self.find_fault(kind).unwrap_or_else(|| FrameError::content(&self.path, error))),
        }
    }

    /// Per row of `table`, which is this block as read, whether it is learned from.
    ///
    /// # Errors
    /// With the line on which the split is neither train nor test.
    pub fn train_rows(&self, table: &TypedTable) -> Result<Vec<bool>, FrameError> {
        let absent = || FrameError::content(&self.path, format!("column \"{SPLIT_COLUMN}\" cannot be read"));
        let sides = table.texts(SPLIT_COLUMN).ok_or_else(absent)?;
        let train = |(row, side): (usize, Option<&str>)| match side {
            Some(TRAIN) => Ok(true),
            Some(TEST) => Ok(false),
            other => Err(FrameError::Cell {
                path: self.path.clone(),
                line: self.line(row),
                column: SPLIT_COLUMN.to_owned(),
                value: other.unwrap_or_default().to_owned(),
                expected: "train or test",
            }),
        };
        sides.enumerate().map(train).collect()
    }

    fn find_fault(&self, kind: &dyn Fn(&str) -> Kind) -> Option<FrameError> {
        let frame = self.parse(false, &|_| DataType::String).ok()?;
        for column in frame.columns().iter().filter(|column| kind(column.name()) == Kind::Number) {
            for (row, cell) in column.str().ok()?.iter().enumerate() {
                let cell = cell.unwrap_or_default();
                if !cell.is_empty() && cell.parse::<f64>().is_err() {
                    let (path, line, value) = (self.path.clone(), self.line(row), cell.to_owned());
                    return Some(FrameError::Cell {
                        path,
                        line,
                        column: column.name().to_string(),
                        value,
                        expected: "a number",
                    });
                }
            }
        }
        None
    }
}

impl TypedTable {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// The numbers of a column; NaN where missing. `None` if there is no such column of numbers.
    pub fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        let values = self.frame.column(name).ok()?.f64().ok()?;
        Some(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    /// The cells of a text column; `None` where missing.
    pub fn texts(&self, name: &str) -> Option<impl Iterator<Item = Option<&str>>> {
        let values = self.frame.column(name).ok()?.str().ok()?;
        Some(values.iter().map(|value| value.filter(|text| !text.is_empty())))
    }

    /// The cells of a text column as categories.
    pub fn categories(&self, name: &str) -> Option<Categories> {
        let mut known: FxHashMap<&str, u32> = FxHashMap::default();
        let mut categories = Categories { codes: Vec::with_capacity(self.rows()), levels: vec![] };
        for cell in self.texts(name)? {
            let code = cell.map_or(MISSING_LEVEL, |cell| {
                *known.entry(cell).or_insert_with(|| {
                    categories.levels.push(cell.to_owned());
                    categories.levels.len() as u32 - 1
                })
            });
            categories.codes.push(code);
        }
        Some(categories)
    }
}
