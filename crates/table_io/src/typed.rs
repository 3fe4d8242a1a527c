//! Reading of files that an earlier stage wrote, with known column types.

use polars::prelude::*;
use rustc_hash::FxHashMap;
use schema::{Categories, MISSING_LEVEL, SPLIT_COLUMN, TEST, TRAIN};

use crate::{error::FrameError, source::Block};

/// Type of a column in a file of the pipeline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ColumnKind {
    /// Numbers.
    Number,
    /// Text.
    Text,
}

/// A parsed block of a file of the pipeline.
#[derive(Debug)]
pub struct TypedTable {
    frame: DataFrame,
}

impl Block {
    /// Parses the block; `kind` returns the type of a column by name.
    ///
    /// # Errors
    /// With line, column and value of a cell of another type, or of a malformed record: the file was changed after writing.
    pub fn typed(&self, kind: &dyn Fn(&str) -> ColumnKind) -> Result<TypedTable, FrameError> {
        if let Some((line, message)) = self.malformed() {
            return Err(FrameError::Header { path: self.path.clone(), line, message });
        }
        let type_of = |name: &str| match kind(name) {
            ColumnKind::Number => DataType::Float64,
            ColumnKind::Text => DataType::String,
        };
        match self.parse(false, &type_of) {
            Ok(frame) => Ok(TypedTable { frame }),
            Err(error) => Err(self.find_invalid_cell(kind).unwrap_or_else(|| FrameError::content(&self.path, error))),
        }
    }

    /// True for each training row of `table`, which is this block.
    ///
    /// # Errors
    /// With the line of a split other than train or test.
    pub fn train_rows(&self, table: &TypedTable) -> Result<Vec<bool>, FrameError> {
        let absent = || FrameError::content(&self.path, format!("column \"{SPLIT_COLUMN}\" cannot be read"));
        let splits = table.texts(SPLIT_COLUMN).ok_or_else(absent)?;
        let train = |(row, split): (usize, Option<&str>)| match split {
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
        splits.enumerate().map(train).collect()
    }

    fn find_invalid_cell(&self, kind: &dyn Fn(&str) -> ColumnKind) -> Option<FrameError> {
        let frame = self.parse(false, &|_| DataType::String).ok()?;
        for column in frame.columns().iter().filter(|column| kind(column.name()) == ColumnKind::Number) {
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

    /// The numbers of a column, NaN for missing; `None` if there is no such column of numbers.
    pub fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        let values = self.frame.column(name).ok()?.f64().ok()?;
        Some(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    /// The cells of a text column; `None` for missing.
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
