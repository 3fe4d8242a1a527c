//! Reads tensors of the Open Inference Protocol straight into columns. Nothing else of a request is kept, and no more rows than there may be.

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
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::{
    api::tensor_column::{Column, ValueSeed},
    http::error::ApiError,
};

/// Bytes of the id of a request at most: it is part of the answer.
const LONGEST_ID: usize = 1024;
/// Dimensions of a shape that are kept.
const DIMENSIONS: usize = 8;
/// Datatypes of numbers.
const NUMERIC: [&str; 11] =
    ["FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"];

/// A request.
pub(crate) struct Tensors {
    pub(crate) id: Option<String>,
    /// The outputs that are asked for: some of those that there are, each once.
    pub(crate) outputs: Vec<String>,
    pub(crate) rows: usize,
    /// Per field its column, where one came.
    pub(crate) columns: Vec<Option<Column>>,
}

/// What a request may have.
#[derive(Clone, Copy)]
pub(crate) struct TensorLimits<'a> {
    pub(crate) fields: &'a RowSchema,
    /// The names of outputs.
    pub(crate) outputs: &'a [String],
    /// Rows at most.
    pub(crate) rows: usize,
}

/// Reads a request.
///
/// # Errors
/// If it cannot be read, its tensors differ in length, it has too many rows, or it asks for an output that does not exist.
pub(crate) fn read_tensors(known: TensorLimits, body: &[u8]) -> Result<Tensors, ApiError> {
    check_values(body).map_err(|excess| match excess {
        Excess::Long(_) => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, excess.to_string()),
        Excess::Deep(_) => ApiError::bad_request(excess.to_string()),
    })?;
    let reader = Reader {
        known,
        refusal: Cell::new(None),
        rows: Cell::new(None),
        columns: RefCell::new(known.fields.fields.iter().map(|_| None).collect()),
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = RequestSeed(&reader).deserialize(&mut json).and_then(|request| json.end().map(|()| request));
    let (id, outputs) = match (reader.refusal.take(), read) {
        (Some(refusal), _) => return Err(refusal),
        (None, Ok(request)) => request,
        (None, Err(error)) => {
            return Err(ApiError::bad_request(format!("the body is not a request: {}", excerpt(&error.to_string()))));
        }
    };
    let rows = reader.rows.get().ok_or_else(|| ApiError::bad_request("inputs: none of the model's columns is there"))?;
    Ok(Tensors { id, outputs, rows, columns: reader.columns.into_inner() })
}

/// What is known while a request is read.
struct Reader<'a> {
    known: TensorLimits<'a>,
    /// Why reading ended, where it is not the text's syntax.
    refusal: Cell<Option<ApiError>>,
    /// Rows of the tensors that came.
    rows: Cell<Option<usize>>,
    columns: RefCell<Vec<Option<Column>>>,
}

impl Reader<'_> {
    /// Ends the reading with a refusal.
    fn refuse<T, E: Error>(&self, refusal: ApiError) -> Result<T, E> {
        self.refusal.set(Some(refusal));
        Err(E::custom("refused"))
    }

    fn fault<T, E: Error>(&self, name: &str, message: impl fmt::Display) -> Result<T, E> {
        self.refuse(ApiError::bad_request(format!("inputs: \"{}\": {message}", excerpt(name))))
    }

    /// The field that a tensor is for; none for a column that the model does not need.
    fn place<E: Error>(&self, name: &str) -> Result<Option<usize>, E> {
        let fields = self.known.fields;
        match fields.place(name) {
            Some(place) if self.columns.borrow()[place].is_some() => {
                self.refuse(ApiError::bad_request(format!("the column \"{name}\" is there twice")))
            }
            None if !fields.is_unused(name) => self.fault(name, fields.unknown(name, Value::Null).message),
            place => Ok(place),
        }
    }

    /// Checks a tensor and keeps its column.
    fn keep<E: Error>(&self, name: &str, place: usize, shape: &Shape, datatype: &str, column: Column) -> Result<(), E> {
        let length = column.len();
        let rows = self.rows.get().unwrap_or(length);
        self.rows.set(Some(rows));
        if shape.0 != [rows] && shape.0 != [rows, 1] {
            return self
                .fault(name, format!("the shape is {:?}; a column of {rows} rows has [{rows}] or [{rows}, 1]", shape.0));
        }
        if length != rows {
            return self.fault(name, format!("has {length} values where the shape says {rows}"));
        }
        let category = self.known.fields.fields[place].column.spec.kind == ColumnType::Category;
        if datatype != "BYTES" && (!NUMERIC.contains(&datatype) || category) {
            let fitting = if category { "BYTES" } else { "FP64, FP32, INT64, INT32 or BYTES" };
            return self.fault(name, format!("is of the datatype {}; send {fitting}", excerpt(datatype)));
        }
        self.columns.borrow_mut()[place] = Some(column);
        Ok(())
    }
}

/// Reads a value once where a key comes, and not twice.
fn once<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
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

struct RequestSeed<'r, 'a>(&'r Reader<'a>);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_, '_> {
    type Value = (Option<String>, Vec<String>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_, '_> {
    type Value = (Option<String>, Vec<String>);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with inputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut id, mut inputs, mut outputs) = (None, None, None);
        while let Some(key) = map.next_key_seed(TextSeed)? {
            match &*key {
                "id" => once(&mut map, &mut id, "id", std::marker::PhantomData::<Option<String>>)?,
                "inputs" => once(&mut map, &mut inputs, "inputs", InputsSeed(self.0))?,
                "outputs" => once(&mut map, &mut outputs, "outputs", OutputsSeed(self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        inputs.ok_or_else(|| A::Error::missing_field("inputs"))?;
        let id = id.flatten();
        if id.as_ref().is_some_and(|id| id.len() > LONGEST_ID) {
            return self.0.refuse(ApiError::bad_request(format!("id: is longer than {LONGEST_ID} bytes")));
        }
        Ok((id, outputs.unwrap_or_default()))
    }
}

struct InputsSeed<'r, 'a>(&'r Reader<'a>);

impl<'de> DeserializeSeed<'de> for InputsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(TensorSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct TensorSeed<'r, 'a>(&'r Reader<'a>);

impl<'de> DeserializeSeed<'de> for TensorSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a tensor with name, shape, datatype and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        let (mut name, mut shape, mut datatype, mut data) = (None, None, None, None);
        // the field, once the name has come
        let mut place = None;
        while let Some(key) = map.next_key_seed(TextSeed)? {
            match &*key {
                "name" => {
                    once(&mut map, &mut name, "name", TextSeed)?;
                    place = name.as_ref().map(|name| reader.place::<A::Error>(name)).transpose()?;
                }
                "shape" => once(&mut map, &mut shape, "shape", ShapeSeed)?,
                "datatype" => once(&mut map, &mut datatype, "datatype", TextSeed)?,
                // what the model does not need is not kept
                "data" if place == Some(None) && data.is_none() => {
                    map.next_value::<IgnoredAny>()?;
                    data = Some(Column::default());
                }
                "data" => once(&mut map, &mut data, "data", DataSeed(reader))?,
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
            Some(place) => reader.keep(&name, place, &shape, &datatype, data),
            None => Ok(()),
        }
    }
}

/// The first dimensions of a shape.
struct Shape(Vec<usize>);

struct ShapeSeed;

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Shape, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a shape")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(length) = list.next_element::<usize>()? {
            if shape.len() < DIMENSIONS {
                shape.push(length);
            }
        }
        Ok(Shape(shape))
    }
}

struct DataSeed<'r, 'a>(&'r Reader<'a>);

impl<'de> DeserializeSeed<'de> for DataSeed<'_, '_> {
    type Value = Column;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Column, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_, '_> {
    type Value = Column;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Column, A::Error> {
        let mut column = Column::default();
        while list.next_element_seed(ValueSeed(&mut column))?.is_some() {
            let limit = self.0.known.rows;
            if column.len() > limit {
                let message =
                    format!("more than the {limit} rows that a request may have; send fewer at a time, or a stream");
                return self.0.refuse(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
        }
        Ok(column)
    }
}

#[derive(Deserialize)]
struct Output {
    name: String,
}

struct OutputsSeed<'r, 'a>(&'r Reader<'a>);

impl<'de> DeserializeSeed<'de> for OutputsSeed<'_, '_> {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<String>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OutputsSeed<'_, '_> {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of outputs")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let known = self.0.known.outputs;
        let mut wanted: Vec<String> = Vec::new();
        while let Some(Output { name }) = list.next_element()? {
            let shown = excerpt(&name);
            if !known.contains(&name) {
                let message = format!("there is no output \"{shown}\"; there are {}", known.join(", "));
                return self.0.refuse(ApiError::bad_request(message));
            }
            if wanted.contains(&name) {
                return self.0.refuse(ApiError::bad_request(format!("outputs: \"{shown}\" is asked for twice")));
            }
            wanted.push(name);
        }
        Ok(wanted)
    }
}
