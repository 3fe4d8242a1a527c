//! Reads rows from JSON directly, without a tree of values in memory.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::{
    row_schema::{RawValue, RowSchema},
    validation::{ErrorDetail, FieldError, FieldErrorKind, MAX_ERRORS_LISTED, excerpt},
};

const LIST_EXPECTED: &str = "a list of rows";

/// A row before validation.
pub struct Row<'a> {
    /// A value for each field, in the order of the schema.
    pub values: Vec<RawValue<'a>>,
    /// Errors of its names: unknown and duplicate fields.
    pub errors: Vec<FieldError>,
}

/// Why a text cannot be read as rows.
pub enum Unreadable {
    /// It is not JSON.
    Syntax(String),
    /// It is JSON of another form.
    Form(String),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        let message = excerpt(&error.to_string()).into_owned();
        if error.is_data() { Self::Form(message) } else { Self::Syntax(message) }
    }
}

/// Checks once that a text is UTF-8, so that its strings need no check of their own.
///
/// # Errors
/// If it is not UTF-8.
pub fn utf8(text: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(text).map_err(|error| Unreadable::Syntax(error.to_string()))
}

/// Reads one row.
///
/// # Errors
/// If the text is not JSON, or not an object.
pub fn read_row<'a>(fields: &RowSchema, text: &'a [u8]) -> Result<Row<'a>, Unreadable> {
    let mut json = serde_json::Deserializer::from_str(utf8(text)?);
    let row = RowSeed(fields, ErrorDetail::Whole).deserialize(&mut json)?;
    json.end()?;
    Ok(row)
}

/// Reads a list of rows.
///
/// # Errors
/// If the text is not JSON, or not a list of objects.
pub fn read_rows<'a>(fields: &RowSchema, text: &'a str, detail: ErrorDetail) -> Result<Vec<Row<'a>>, Unreadable> {
    let mut json = serde_json::Deserializer::from_str(text);
    let rows = ListSeed(fields, detail).deserialize(&mut json)?;
    json.end()?;
    Ok(rows)
}

/// Reads a list and keeps nothing of it; returns the number of its rows.
///
/// # Errors
/// If the text is not JSON, or not a list of objects. The message says where.
pub fn check_list(fields: &RowSchema, text: &str) -> Result<usize, Unreadable> {
    let mut json = serde_json::Deserializer::from_str(text);
    let rows = json.deserialize_seq(SkimVisitor(fields))?;
    json.end()?;
    Ok(rows)
}

struct SkimVisitor<'f>(&'f RowSchema);

impl<'de> Visitor<'de> for SkimVisitor<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(LIST_EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut rows = 0;
        while list.next_element_seed(RowSeed(self.0, ErrorDetail::Count))?.is_some() {
            rows += 1;
        }
        Ok(rows)
    }
}

struct RowSeed<'f>(&'f RowSchema, ErrorDetail);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Row<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Row<'de>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with a value for each field")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let fields = self.0;
        let mut values = vec![RawValue::Absent; fields.fields.len()];
        let mut errors = Vec::new();
        let mut expected = 0;
        while let Some(name) = map.next_key_seed(TextSeed)? {
            // most rows have the fields in one order
            let next = fields.fields.get(expected).filter(|field| field.name() == name).map(|_| expected);
            let place = next.or_else(|| fields.index_of(&name));
            expected = place.map_or(expected, |place| place + 1);
            match place {
                Some(place) => {
                    let value = map.next_value_seed(ValueSeed)?;
                    if values[place] != RawValue::Absent && errors.len() < MAX_ERRORS_LISTED {
                        errors.push(FieldError::new(&name, FieldErrorKind::DuplicateField, "is given twice", Value::Null));
                    }
                    values[place] = value;
                }
                None if fields.is_unused(&name) => {
                    map.next_value::<IgnoredAny>()?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    if errors.len() < MAX_ERRORS_LISTED {
                        errors.push(match self.1 {
                            ErrorDetail::Whole => fields.unknown(&name, Value::Null),
                            ErrorDetail::Count => FieldError::counted("", FieldErrorKind::UnknownField),
                        });
                    }
                }
            }
        }
        Ok(Row { values, errors })
    }
}

struct ListSeed<'f>(&'f RowSchema, ErrorDetail);

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Vec<Row<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<Row<'de>>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Vec<Row<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(LIST_EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Row<'de>>, A::Error> {
        let (mut rows, mut errors) = (Vec::new(), 0);
        loop {
            // others than those that an answer lists are only counted
            let detail = if errors >= MAX_ERRORS_LISTED { ErrorDetail::Count } else { self.1 };
            let Some(row) = list.next_element_seed(RowSeed(self.0, detail))? else { break };
            errors += row.errors.len();
            rows.push(row);
        }
        Ok(rows)
    }
}

/// A text, borrowed where it has no escapes.
pub struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Cow<'de, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = RawValue<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<RawValue<'de>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = RawValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Number(value as f64))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawValue<'de>, E> {
        Ok(RawValue::Other(if value { "true" } else { "false" }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawValue<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawValue::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawValue<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(RawValue::Other("an object"))
    }
}
