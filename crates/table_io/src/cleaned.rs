//! Reading of the cleaned table in blocks.

use schema::{ColumnType, SPLIT_COLUMN, Schema, Table, Values};

use crate::{
    error::FrameError,
    source::{Block, TableSource},
    typed::ColumnKind,
};

/// A block of the cleaned table.
#[derive(Debug)]
pub struct CleanedBlock {
    /// Raw columns that features use.
    pub table: Table,
    /// The target.
    pub target: Vec<f64>,
    /// True for training rows.
    pub train: Vec<bool>,
}

/// Opens the cleaned table and checks its header.
///
/// # Errors
/// If it cannot be read, or lacks a column.
pub fn open_cleaned(path: &std::path::Path, schema: &Schema) -> Result<TableSource, FrameError> {
    let source = TableSource::open(path)?;
    let mut expected: Vec<&str> = schema.columns().iter().map(|column| column.name.as_str()).collect();
    expected.push(SPLIT_COLUMN);
    let there: rustc_hash::FxHashSet<&str> = source.names().iter().map(String::as_str).collect();
    for name in &expected {
        if !there.contains(name) {
            let message = format!("column \"{name}\" is not in the header. Run `process` again");
            return Err(FrameError::Header { path: path.to_owned(), line: 1, message });
        }
    }
    Ok(source)
}

impl Block {
    /// Parses the block as one of the cleaned table.
    ///
    /// # Errors
    /// If the file was changed after writing; with line, column and value.
    pub fn cleaned(&self, schema: &Schema) -> Result<CleanedBlock, FrameError> {
        let is_number = |name: &str| schema.column(name).is_some_and(|column| column.spec.kind.is_number());
        let typed = self.typed(&|name| if is_number(name) { ColumnKind::Number } else { ColumnKind::Text })?;
        let mut table = Table::new(typed.rows());
        let mut target = Vec::new();
        for (place, column) in schema.columns().iter().enumerate() {
            let name = &column.name;
            let absent = || FrameError::content(&self.path, format!("column \"{name}\" cannot be read"));
            match column.spec.kind {
                ColumnType::Float | ColumnType::Integer if place == schema.target_index() => {
                    target = typed.numbers(name).ok_or_else(absent)?;
                }
                ColumnType::Float | ColumnType::Integer => {
                    table.push(name, Values::Number(typed.numbers(name).ok_or_else(absent)?));
                }
                ColumnType::Category => table.push(name, Values::Category(typed.categories(name).ok_or_else(absent)?)),
                ColumnType::Date => {
                    let days =
                        |cell: Option<&str>| cell.and_then(|cell| column.number(cell).ok().flatten()).unwrap_or(f64::NAN);
                    table.push(name, Values::Number(typed.texts(name).ok_or_else(absent)?.map(days).collect()));
                }
                ColumnType::Id | ColumnType::Text => {}
            }
        }
        Ok(CleanedBlock { table, target, train: self.train_rows(&typed)? })
    }
}
