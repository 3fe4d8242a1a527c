//! Rows as an Arrow stream: the same batches, with the prediction beside their columns.

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

use crate::{
    arrow_guard::Guarded,
    csv_rows::{Header, Scored, added, predict},
    engine::Engine,
    fields::Given,
};

/// Rows of a batch at most.
const LARGEST: usize = 1 << 20;

/// Predicts a stream of batches.
///
/// # Errors
/// If it cannot be read or written, or its columns do not fit.
pub(crate) fn score(engine: &Engine, input: impl Read, output: impl Write) -> io::Result<Scored> {
    let reader = StreamReader::try_new(Guarded::new(input), None).map_err(failed)?;
    let schema = reader.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let header = Header::find(&engine.fields, &names).map_err(io::Error::other)?;
    let added = added(engine);
    if let Some(name) = added.iter().find(|name| names.contains(&name.as_str())) {
        return Err(io::Error::other(format!("has a column \"{name}\" already; rename it")));
    }
    let last = added.len() - 1;
    let new = added.iter().enumerate().map(|(place, name)| {
        Arc::new(Field::new(name, if place == last { DataType::Utf8 } else { DataType::Float64 }, true))
    });
    let told_schema = Arc::new(Schema::new(schema.fields().iter().cloned().chain(new).collect::<Vec<_>>()));
    let mut writer = StreamWriter::try_new(output, &told_schema).map_err(failed)?;
    let mut scored = Scored::default();
    for batch in reader {
        let batch = batch.map_err(failed)?;
        if batch.num_rows() > LARGEST {
            return Err(io::Error::other(format!("a batch of {} rows is larger than {LARGEST}", batch.num_rows())));
        }
        let columns: Vec<Values> =
            batch.columns().iter().zip(&names).map(|(column, name)| Values::of(column, name)).collect::<io::Result<_>>()?;
        let rows: Vec<Vec<Given>> =
            (0..batch.num_rows()).map(|row| header.given(|place| columns[place].given(row))).collect();
        let told = predict(engine, &rows);
        let number = |of: &dyn Fn(&predictor::Prediction) -> Option<f64>| -> ArrayRef {
            Arc::new(told.iter().map(|told| told.as_ref().ok().and_then(of)).collect::<Float64Array>())
        };
        let mut made = vec![number(&|prediction| Some(prediction.value))];
        if last > 1 {
            made.push(number(&|prediction| prediction.interval.map(|(low, _)| low)));
            made.push(number(&|prediction| prediction.interval.map(|(_, high)| high)));
        }
        made.push(Arc::new(told.iter().map(|told| told.as_ref().err()).collect::<StringArray>()));
        let refused = told.iter().filter(|told| told.is_err()).count() as u64;
        scored.refused += refused;
        scored.rows += told.len() as u64 - refused;
        let columns: Vec<ArrayRef> = batch.columns().iter().cloned().chain(made).collect();
        let batch = RecordBatch::try_new(told_schema.clone(), columns).map_err(failed)?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(scored)
}

fn failed(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The values of a column, in one of the types that fields are taken from.
enum Values<'a> {
    Float(&'a Float64Array),
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<&'a str>>),
    /// Of no use to a field.
    Other(&'static str),
}

impl<'a> Values<'a> {
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
        let found = match column.data_type() {
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
        found.ok_or_else(|| {
            io::Error::other(format!("the column \"{name}\" is of the type {}, which is not taken", column.data_type()))
        })
    }

    fn given(&self, row: usize) -> Given<'a> {
        let number = |value: Option<f64>| value.filter(|value| !value.is_nan()).map_or(Given::Null, Given::Number);
        match self {
            Self::Float(values) => number(values.is_valid(row).then(|| values.value(row))),
            Self::Numbers(values) => number(values[row]),
            Self::Texts(values) => values[row].map_or(Given::Null, |text| Given::Text(Cow::Borrowed(text))),
            Self::Other(what) => Given::Other(what),
        }
    }
}
