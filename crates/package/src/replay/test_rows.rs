//! The test rows as JSON, and their evaluated predictions.

use std::path::Path;

use anyhow::Context;
use schema::{ColumnType, MISSING_LEVEL, Schema, Table, Values, iso_date};
use serde_json::{Map, Value, json};

/// The rows of a table of raw columns, as JSON objects.
pub(crate) fn rows_to_json(table: &Table, schema: &Schema) -> Vec<Value> {
    let columns: Vec<(&str, ColumnType, &Values)> = schema
        .columns()
        .iter()
        .filter_map(|column| Some((column.name.as_str(), column.spec.kind, table.get(&column.name)?)))
        .collect();
    let row = |row: usize| {
        let cells = columns.iter().map(|(name, kind, values)| ((*name).to_owned(), cell(*kind, values, row)));
        Value::Object(cells.collect::<Map<String, Value>>())
    };
    (0..table.rows()).map(row).collect()
}

fn cell(kind: ColumnType, values: &Values, row: usize) -> Value {
    match values {
        Values::Number(values) if values[row].is_nan() => Value::Null,
        Values::Number(values) if kind == ColumnType::Date => json!(iso_date(values[row])),
        Values::Number(values) => json!(values[row]),
        Values::Category(categories) => match categories.codes[row] {
            MISSING_LEVEL => Value::Null,
            code => json!(categories.levels[code as usize]),
        },
    }
}

/// The targets and predictions of `predictions.csv`, in the order of the test rows.
#[derive(Debug)]
pub(crate) struct TestPredictions {
    pub(crate) y_true: Vec<f64>,
    pub(crate) y_pred: Vec<f64>,
}

impl TestPredictions {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read the file", path.display()))?;
        let mut predictions = Self { y_true: Vec::new(), y_pred: Vec::new() };
        for (line, text) in text.lines().enumerate().skip(1) {
            let mut cells = text.split(',').map(str::parse::<f64>);
            let (Some(Ok(y_true)), Some(Ok(y_pred))) = (cells.next(), cells.next()) else {
                anyhow::bail!("{}:{}: \"{text}\" is not a target and a prediction", path.display(), line + 1)
            };
            predictions.y_true.push(y_true);
            predictions.y_pred.push(y_pred);
        }
        Ok(predictions)
    }
}
