//! Predicts the rows of an Arrow stream: the batches are written with the prediction after their columns.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    types::{Int8Type, Int16Type, Int32Type},
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use predictor::Prediction;

use crate::{
    blocks::BlockGate,
    formats::{
        arrow_validation::{MessageBuffer, ValidatingReader},
        json_scan::MAX_ROW_BYTES,
        table::{Header, ScoringSummary, output_columns, predict_rows, rows_per_block},
    },
    loaded_model::LoadedModel,
    row_schema::RawValue,
};

/// Bytes of rows that are answered together: fewer rows than otherwise where they are long.
const BLOCK_BYTES: usize = 1 << 20;

/// Predicts a stream of batches. The rows of a large one are answered in several.
///
/// # Errors
/// If it cannot be read or written, its columns do not fit, or its request has ended.
pub fn score(
    model: &LoadedModel,
    input: impl Read,
    output: impl Write,
    gate: &impl BlockGate,
    messages: impl MessageBuffer,
) -> io::Result<ScoringSummary> {
    let reader = StreamReader::try_new(ValidatingReader::new(input, messages), None).map_err(failed)?;
    let schema = reader.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let header = Header::find(&model.row_schema, &names).map_err(io::Error::other)?;
    let output_columns = output_columns(model);
    if let Some(name) = output_columns.iter().find(|name| names.contains(&name.as_str())) {
        return Err(io::Error::other(format!("has a column \"{name}\" already; rename it")));
    }
    let last = output_columns.len() - 1;
    let new = output_columns.iter().enumerate().map(|(place, name)| {
        Arc::new(Field::new(name, if place == last { DataType::Utf8 } else { DataType::Float64 }, true))
    });
    let output_schema = Arc::new(Schema::new(schema.fields().iter().cloned().chain(new).collect::<Vec<_>>()));
    let mut writer = StreamWriter::try_new(output, &output_schema).map_err(failed)?;
    let mut scored = ScoringSummary::default();
    let most = rows_per_block(model.row_schema.fields.len());
    for batch in reader {
        let batch = batch.map_err(failed)?;
        let (mut first, mut is_begun) = (0, false);
        // a batch without rows is answered by one
        while first < batch.num_rows() || !is_begun {
            let turn = gate.begin_block()?;
            let row = scored.rows + scored.refused;
            let block = first_rows(&batch, first, most).ok_or_else(|| too_long(row))?;
            (first, is_begun) = (first + block.num_rows(), true);
            let results = predict_block(model, &header, &names, &block)?;
            let refused = results.iter().filter(|results| results.is_err()).count() as u64;
            scored.refused += refused;
            scored.rows += results.len() as u64 - refused;
            let columns: Vec<ArrayRef> = block.columns().iter().cloned().chain(new_columns(&results, last > 1)).collect();
            let block = RecordBatch::try_new(output_schema.clone(), columns).map_err(failed)?;
            writer.write(&block).map_err(failed)?;
            drop(turn);
        }
    }
    writer.finish().map_err(failed)?;
    Ok(scored)
}

/// Up to `most` rows of a batch from row `first`, as many as have [`BLOCK_BYTES`]; none where the first is longer than [`MAX_ROW_BYTES`].
pub(crate) fn first_rows(batch: &RecordBatch, first: usize, most: usize) -> Option<RecordBatch> {
    let mut rows = most.min(batch.num_rows() - first);
    loop {
        let block = batch.slice(first, rows);
        // dictionaries are written once and not with each block
        let columns = block.columns().iter().filter(|column| !matches!(column.data_type(), DataType::Dictionary(..)));
        let bytes = columns
            .map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX))
            .fold(0, usize::saturating_add);
        match rows {
            0 => return Some(block),
            1 => return (bytes <= MAX_ROW_BYTES).then_some(block),
            _ if bytes <= BLOCK_BYTES => return Some(block),
            _ => rows = rows.div_ceil(2),
        }
    }
}

fn too_long(rows_before: u64) -> io::Error {
    io::Error::other(format!("row {}: is longer than {MAX_ROW_BYTES} bytes", rows_before + 1))
}

/// Predicts the rows of a block.
fn predict_block(
    model: &LoadedModel,
    header: &Header,
    names: &[&str],
    block: &RecordBatch,
) -> io::Result<Vec<Result<Prediction, String>>> {
    let mut columns: Vec<Option<ArrowValues>> = Vec::with_capacity(names.len());
    for (place, (column, name)) in block.columns().iter().zip(names).enumerate() {
        columns.push(if header.is_used(place) { Some(ArrowValues::of(column, name)?) } else { None });
    }
    let row_values =
        |row: usize| header.values(|place| columns[place].as_ref().map_or(RawValue::Absent, |values| values.value(row)));
    let rows: Vec<Vec<RawValue>> = (0..block.num_rows()).map(row_values).collect();
    Ok(predict_rows(model, &rows))
}

/// The columns of predictions, their intervals if there are any, and problems.
fn new_columns(results: &[Result<Prediction, String>], intervals: bool) -> Vec<ArrayRef> {
    let number = |of: &dyn Fn(&Prediction) -> Option<f64>| -> ArrayRef {
        Arc::new(results.iter().map(|results| results.as_ref().ok().and_then(of)).collect::<Float64Array>())
    };
    let mut columns = vec![number(&|prediction| Some(prediction.value))];
    if intervals {
        columns.push(number(&|prediction| prediction.interval.map(|(low, _)| low)));
        columns.push(number(&|prediction| prediction.interval.map(|(_, high)| high)));
    }
    columns.push(Arc::new(results.iter().map(|results| results.as_ref().err()).collect::<StringArray>()));
    columns
}

fn failed(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The values of a column, in one of the types that fields are taken from.
enum ArrowValues<'a> {
    Float(&'a Float64Array),
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<&'a str>>),
    /// Of no use to a field.
    Other(&'static str),
}

impl<'a> ArrowValues<'a> {
    #[allow(clippy::cast_lossless, reason = "one macro for all widths")]
    fn of(column: &'a ArrayRef, name: &str) -> io::Result<Self> {
        macro_rules! numbers {
            ($array:ty) => {
                column
                    .as_any()
                    .downcast_ref::<$array>()
                    .map(|array| Self::Numbers(array.iter().map(|value| value.map(|value| value as f64)).collect()))
            };
        }
        macro_rules! texts {
            ($array:ty) => {
                column.as_any().downcast_ref::<$array>().map(|array| Self::Texts(array.iter().collect()))
            };
        }
        macro_rules! levels {
            ($key:ty) => {
                column.as_any().downcast_ref::<DictionaryArray<$key>>().and_then(|array| {
                    let levels = array.downcast_dict::<StringArray>()?;
                    Some(Self::Texts(levels.into_iter().collect()))
                })
            };
        }
        let values = match column.data_type() {
            DataType::Float64 => column.as_any().downcast_ref::<Float64Array>().map(Self::Float),
            DataType::Float32 => numbers!(Float32Array),
            DataType::Int8 => numbers!(Int8Array),
            DataType::Int16 => numbers!(Int16Array),
            DataType::Int32 => numbers!(Int32Array),
            DataType::Int64 => numbers!(Int64Array),
            DataType::UInt8 => numbers!(UInt8Array),
            DataType::UInt16 => numbers!(UInt16Array),
            DataType::UInt32 => numbers!(UInt32Array),
            DataType::UInt64 => numbers!(UInt64Array),
            DataType::Utf8 => texts!(StringArray),
            DataType::LargeUtf8 => texts!(LargeStringArray),
            DataType::Dictionary(key, _) => match **key {
                DataType::Int8 => levels!(Int8Type),
                DataType::Int16 => levels!(Int16Type),
                DataType::Int32 => levels!(Int32Type),
                _ => None,
            },
            _ => Some(Self::Other("a value of this type")),
        };
        values.ok_or_else(|| {
            io::Error::other(format!("the column \"{name}\" is of the type {}, which is not taken", column.data_type()))
        })
    }

    fn value(&self, row: usize) -> RawValue<'a> {
        let number = |value: Option<f64>| value.filter(|value| !value.is_nan()).map_or(RawValue::Null, RawValue::Number);
        match self {
            Self::Float(values) => number(values.is_valid(row).then(|| values.value(row))),
            Self::Numbers(values) => number(values[row]),
            Self::Texts(values) => values[row].map_or(RawValue::Null, |text| RawValue::Text(Cow::Borrowed(text))),
            Self::Other(what) => RawValue::Other(what),
        }
    }
}
