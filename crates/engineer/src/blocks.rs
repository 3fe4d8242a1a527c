//! Reads the cleaned table block by block.

use anyhow::{Context, bail};
use frame::{Block, Kind, Source};
use schema::{ColumnType, SPLIT_COLUMN, Schema, Table, Values};

/// A block of the cleaned table.
pub(crate) struct Cleaned {
    pub(crate) table: Table,
    pub(crate) target: Vec<f64>,
    /// Per row whether it is learned from.
    pub(crate) train: Vec<bool>,
}

/// Opens the cleaned table and compares its header with the schema.
pub(crate) fn open(path: &std::path::Path, schema: &Schema) -> anyhow::Result<Source> {
    let source = Source::open(path)?;
    let mut expected: Vec<&str> = schema.columns().iter().map(|column| column.name.as_str()).collect();
    expected.push(SPLIT_COLUMN);
    for name in &expected {
        if !source.names().iter().any(|found| found == name) {
            bail!("{}:1: column \"{name}\" is not in the header. Run `process` again", path.display());
        }
    }
    Ok(source)
}

/// Reads a block of the cleaned table.
pub(crate) fn clean(block: &Block, schema: &Schema) -> anyhow::Result<Cleaned> {
    let is_number = |name: &str| schema.column(name).is_some_and(|column| column.spec.kind.is_number());
    let typed = block.typed(&|name| if is_number(name) { Kind::Number } else { Kind::Text })?;
    let mut table = Table::new(typed.rows());
    let mut target = Vec::new();
    for (place, column) in schema.columns().iter().enumerate() {
        let name = &column.name;
        let absent = || format!("column \"{name}\" cannot be read");
        match column.spec.kind {
            ColumnType::Float | ColumnType::Integer if place == schema.target_index() => {
                target = typed.numbers(name).with_context(absent)?;
            }
            ColumnType::Float | ColumnType::Integer => {
                table.push(name, Values::Number(typed.numbers(name).with_context(absent)?));
            }
            ColumnType::Category => table.push(name, Values::Category(typed.categories(name).with_context(absent)?)),
            ColumnType::Date => {
                let days = |cell: Option<&str>| cell.and_then(|cell| column.number(cell).ok().flatten()).unwrap_or(f64::NAN);
                table.push(name, Values::Number(typed.texts(name).with_context(absent)?.map(days).collect()));
            }
            ColumnType::Id | ColumnType::Text => {}
        }
    }
    Ok(Cleaned { table, target, train: block.train_rows(&typed)? })
}
