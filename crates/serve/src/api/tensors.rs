//! Reads the tensors of the Open Inference Protocol directly into columns. Nothing else of a request is kept, and the rows are limited.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use axum::http::StatusCode;
use inference::{
    formats::{
        json::TextSeed,
        json_scan::{Excess, check_values},
    },
    row_schema::RowSchema,
    validation::excerpt,
};
use schema::ColumnType;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::{
    api::{
        seed::{AnySeed, MapSeed, SeqSeed},
        tensor_column::{TensorColumn, ValueVisitor},
    },
    http::error::ApiError,
};

/// Maximum bytes of the id of a request, which is part of the response.
const MAX_ID_BYTES: usize = 1024;
/// The number of dimensions of a shape that are kept.
const MAX_DIMENSIONS: usize = 8;
/// Datatypes of numbers.
const NUMERIC_DATATYPES: [&str; 11] =
    ["FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"];

/// A request.
pub(crate) struct Tensors {
    pub(crate) id: Option<String>,
    /// The requested outputs: some of the available ones, each once.
    pub(crate) outputs: Vec<String>,
    pub(crate) rows: usize,
    /// The column of each field, if it was sent.
    pub(crate) columns: Vec<Option<TensorColumn>>,
}

/// The limits of a request.
#[derive(Clone, Copy)]
pub(crate) struct TensorLimits<'a> {
    pub(crate) fields: &'a RowSchema,
    /// The names of the outputs.
    pub(crate) outputs: &'a [String],
    /// The maximum number of rows.
    pub(crate) rows: usize,
}

/// Reads a request.
///
/// # Errors
/// If it cannot be read, its tensors differ in length, it has too many rows, or it requests an unknown output.
pub(crate) fn read_tensors(limits: TensorLimits, body: &[u8]) -> Result<Tensors, ApiError> {
    check_values(body).map_err(|excess| match excess {
        Excess::Long(_) => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, excess.to_string()),
        Excess::Deep(_) => ApiError::bad_request(excess.to_string()),
    })?;
    let reader = TensorReader {
        limits,
        error: Cell::new(None),
        rows: Cell::new(None),
        columns: RefCell::new(limits.fields.fields.iter().map(|_| None).collect()),
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = MapSeed(RequestVisitor(&reader)).deserialize(&mut json).and_then(|request| json.end().map(|()| request));
    let (id, outputs) = match (reader.error.take(), read) {
        (Some(error), _) => return Err(error),
        (None, Ok(request)) => request,
        (None, Err(error)) => {
            return Err(ApiError::bad_request(format!("cannot read the request: {}", excerpt(&error.to_string()))));
        }
    };
    let rows = reader.rows.get().ok_or_else(|| ApiError::bad_request("inputs: contain none of the model's columns"))?;
    Ok(Tensors { id, outputs, rows, columns: reader.columns.into_inner() })
}

/// The state of reading a request.
struct TensorReader<'a> {
    limits: TensorLimits<'a>,
    /// The error that ended reading, unless it is about the syntax.
    error: Cell<Option<ApiError>>,
    /// The rows of the tensors read so far.
    rows: Cell<Option<usize>>,
    columns: RefCell<Vec<Option<TensorColumn>>>,
}

impl TensorReader<'_> {
    /// Ends reading with an error.
    fn reject<T, E: Error>(&self, error: ApiError) -> Result<T, E> {
        self.error.set(Some(error));
        Err(E::custom("rejected"))
    }

    fn reject_input<T, E: Error>(&self, name: &str, message: impl fmt::Display) -> Result<T, E> {
        self.reject(ApiError::bad_request(format!("inputs: \"{}\": {message}", excerpt(name))))
    }

    /// The field of a tensor; none for a column that the model does not need.
    fn field_position<E: Error>(&self, name: &str) -> Result<Option<usize>, E> {
        let fields = self.limits.fields;
        match fields.index_of(name) {
            Some(place) if self.columns.borrow()[place].is_some() => {
                self.reject(ApiError::bad_request(format!("the column \"{name}\" is repeated")))
            }
            None if !fields.is_unused(name) => self.reject_input(name, fields.unknown(name, Value::Null).message),
            place => Ok(place),
        }
    }

    /// Checks a tensor and stores its column.
    fn store_column<E: Error>(
        &self,
        name: &str,
        place: usize,
        shape: &Shape,
        datatype: &str,
        column: TensorColumn,
    ) -> Result<(), E> {
        let length = column.len();
        let rows = self.rows.get().unwrap_or(length);
        self.rows.set(Some(rows));
        if shape.0 != [rows] && shape.0 != [rows, 1] {
            return self.reject_input(
                name,
                format!("the shape is {:?}; a column of {rows} rows has [{rows}] or [{rows}, 1]", shape.0),
            );
        }
        if length != rows {
            return self.reject_input(name, format!("has {length} values, but its shape is for {rows}"));
        }
        let is_category = self.limits.fields.fields[place].column.spec.kind == ColumnType::Category;
        if datatype != "BYTES" && (!NUMERIC_DATATYPES.contains(&datatype) || is_category) {
            let datatypes = if is_category { "BYTES" } else { "FP64, FP32, INT64, INT32 or BYTES" };
            return self.reject_input(name, format!("has the datatype {}; send {datatypes}", excerpt(datatype)));
        }
        self.columns.borrow_mut()[place] = Some(column);
        Ok(())
    }
}

/// Reads the value of a key, which may occur once.
fn read_once<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
    map: &mut A,
    slot: &mut Option<S::Value>,
    key: &'static str,
    seed: S,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::duplicate_field(key));
    }
    *slot = Some(map.next_value_seed(seed)?);
    Ok(())
}

struct RequestVisitor<'r, 'a>(&'r TensorReader<'a>);

impl<'de> Visitor<'de> for RequestVisitor<'_, '_> {
    type Value = (Option<String>, Vec<String>);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with inputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut id, mut inputs, mut outputs) = (None, None, None);
        while let Some(key) = map.next_key_seed(TextSeed)? {
            match &*key {
                "id" => read_once(&mut map, &mut id, "id", std::marker::PhantomData::<Option<String>>)?,
                "inputs" => read_once(&mut map, &mut inputs, "inputs", SeqSeed(InputsVisitor(self.0)))?,
                "outputs" => read_once(&mut map, &mut outputs, "outputs", AnySeed(OutputsVisitor(self.0)))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        inputs.ok_or_else(|| A::Error::missing_field("inputs"))?;
        let id = id.flatten();
        if id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return self.0.reject(ApiError::bad_request(format!("id: is longer than the limit of {MAX_ID_BYTES} bytes")));
        }
        Ok((id, outputs.unwrap_or_default()))
    }
}

struct InputsVisitor<'r, 'a>(&'r TensorReader<'a>);

impl<'de> Visitor<'de> for InputsVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(MapSeed(TensorVisitor(self.0)))?.is_some() {}
        Ok(())
    }
}

struct TensorVisitor<'r, 'a>(&'r TensorReader<'a>);

impl<'de> Visitor<'de> for TensorVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a tensor with name, shape, datatype and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        let (mut name, mut shape, mut datatype, mut data) = (None, None, None, None);
        // the field, once the name was read
        let mut place = None;
        while let Some(key) = map.next_key_seed(TextSeed)? {
            match &*key {
                "name" => {
                    read_once(&mut map, &mut name, "name", TextSeed)?;
                    place = name.as_ref().map(|name| reader.field_position::<A::Error>(name)).transpose()?;
                }
                "shape" => read_once(&mut map, &mut shape, "shape", SeqSeed(ShapeVisitor))?,
                "datatype" => read_once(&mut map, &mut datatype, "datatype", TextSeed)?,
                // a column that the model does not need is not stored
                "data" if place == Some(None) && data.is_none() => {
                    map.next_value::<IgnoredAny>()?;
                    data = Some(TensorColumn::default());
                }
                "data" => read_once(&mut map, &mut data, "data", SeqSeed(DataVisitor(reader)))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        let shape = shape.ok_or_else(|| A::Error::missing_field("shape"))?;
        let datatype = datatype.ok_or_else(|| A::Error::missing_field("datatype"))?;
        let data = data.ok_or_else(|| A::Error::missing_field("data"))?;
        match place.flatten() {
            Some(place) => reader.store_column(&name, place, &shape, &datatype, data),
            None => Ok(()),
        }
    }
}

/// The first dimensions of a shape.
struct Shape(Vec<usize>);

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a shape")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(length) = list.next_element::<usize>()? {
            if shape.len() < MAX_DIMENSIONS {
                shape.push(length);
            }
        }
        Ok(Shape(shape))
    }
}

struct DataVisitor<'r, 'a>(&'r TensorReader<'a>);

impl<'de> Visitor<'de> for DataVisitor<'_, '_> {
    type Value = TensorColumn;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TensorColumn, A::Error> {
        let mut column = TensorColumn::default();
        while list.next_element_seed(AnySeed(ValueVisitor(&mut column)))?.is_some() {
            let limit = self.0.limits.rows;
            if column.len() > limit {
                let message = format!("more rows than the limit of {limit} per request; send fewer at a time, or a stream");
                return self.0.reject(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
        }
        Ok(column)
    }
}

#[derive(Deserialize)]
struct Output {
    name: String,
}

struct OutputsVisitor<'r, 'a>(&'r TensorReader<'a>);

impl<'de> Visitor<'de> for OutputsVisitor<'_, '_> {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of outputs")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let outputs = self.0.limits.outputs;
        let mut selected: Vec<String> = Vec::new();
        while let Some(Output { name }) = list.next_element()? {
            let shown_name = excerpt(&name);
            if !outputs.contains(&name) {
                let message = format!("unknown output \"{shown_name}\"; the outputs are {}", outputs.join(", "));
                return self.0.reject(ApiError::bad_request(message));
            }
            if selected.contains(&name) {
                return self.0.reject(ApiError::bad_request(format!("outputs: \"{shown_name}\" is repeated")));
            }
            selected.push(name);
        }
        Ok(selected)
    }
}
