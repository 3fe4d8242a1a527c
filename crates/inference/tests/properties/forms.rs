//! The same rows as CSV, as lines of JSON, and as an Arrow stream.

use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, types::Int8Type};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Field, Schema};
use csv::Writer;
use schema::iso_date;
use serde_json::{Map, Value, json};

use crate::{
    ChangedRow,
    models::{FIELDS, LEVELS},
};

/// The text of each field; none for a missing value.
pub(crate) type Texts = Vec<Option<String>>;

/// The texts of a row. Numbers are written in one of two ways.
pub(crate) fn texts((row, change): &ChangedRow, form: u64) -> Texts {
    let number = |value: f64| if form.is_multiple_of(2) { format!("{value}") } else { format!("{value:?}") };
    let level = |level: Option<usize>| level.map(|level| LEVELS[level].to_owned());
    let text = |name: &&str| match *name {
        "place" => level(row.place),
        "area" => row.area.map(number),
        "rooms" => row.rooms.map(|rooms| rooms.to_string()),
        "kind" => level(row.kind),
        "sold" => row.sold.map(|days| iso_date(days.into())),
        _ => level(row.state),
    };
    let mut texts: Texts = FIELDS.iter().map(text).collect();
    if let Some((field, text)) = change {
        texts[*field] = Some((*text).to_owned());
    }
    texts
}

/// CSV with columns of missing cells after those of the rows.
pub(crate) fn csv_text(rows: &[Texts], more: &[&str]) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(FIELDS.iter().chain(more)).unwrap();
    for row in rows {
        let cells = row.iter().map(|cell| cell.as_deref().unwrap_or_default());
        writer.write_record(cells.chain(more.iter().map(|_| ""))).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// The number that a text is written for, where it is one as JSON and Arrow write it.
fn number(field: &str, text: &str) -> Option<Value> {
    match field {
        "rooms" => text.parse::<i64>().ok().filter(|value| value.abs() < 1 << 53).map(Value::from),
        "area" => text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::from),
        _ => None,
    }
}

/// Lines of JSON: every cell as text, or numbers as numbers. Missing values are `null` or absent.
pub(crate) fn ndjson_text(rows: &[Texts], is_typed: bool, form: u64) -> String {
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        let mut object = Map::new();
        for (name, cell) in FIELDS.iter().zip(row) {
            match cell {
                None if (form >> (place % 60)).is_multiple_of(2) => {}
                None => drop(object.insert((*name).to_owned(), Value::Null)),
                Some(cell) => {
                    let value = number(name, cell).filter(|_| is_typed).unwrap_or_else(|| json!(cell));
                    object.insert((*name).to_owned(), value);
                }
            }
        }
        text.push_str(&Value::Object(object).to_string());
        text.push('\n');
    }
    text
}

/// A column of cells: of text, or of the type that all of its cells have.
fn column(name: &str, cells: &[Option<&str>], is_typed: bool) -> ArrayRef {
    let numbers: Option<Vec<Option<Value>>> =
        cells.iter().map(|cell| cell.map(|cell| number(name, cell)).map_or(Some(None), |value| value.map(Some))).collect();
    match (numbers, name) {
        (Some(numbers), "rooms") if is_typed => {
            Arc::new(numbers.iter().map(|value| value.as_ref().and_then(Value::as_i64)).collect::<Int64Array>())
        }
        (Some(numbers), "area") if is_typed => {
            Arc::new(numbers.iter().map(|value| value.as_ref().and_then(Value::as_f64)).collect::<Float64Array>())
        }
        (_, "place" | "kind") if is_typed => Arc::new(cells.iter().copied().collect::<DictionaryArray<Int8Type>>()),
        _ => Arc::new(cells.iter().copied().collect::<StringArray>()),
    }
}

/// A stream with `rows_per_batch` rows in a batch, and columns of missing cells after those of the rows.
pub(crate) fn arrow_stream(rows: &[Texts], more: &[&str], is_typed: bool, rows_per_batch: usize) -> Vec<u8> {
    let names: Vec<&str> = FIELDS.iter().chain(more).copied().collect();
    let columns: Vec<ArrayRef> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let cells: Vec<Option<&str>> = rows.iter().map(|row| row.get(place).and_then(|cell| cell.as_deref())).collect();
            column(name, &cells, is_typed)
        })
        .collect();
    let fields: Vec<Field> =
        names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for start in (0..rows.len()).step_by(rows_per_batch) {
        writer.write(&batch.slice(start, rows_per_batch.min(rows.len() - start))).unwrap();
    }
    writer.into_inner().unwrap()
}
