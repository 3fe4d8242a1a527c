//! Reads rows from JSON without a tree in between.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::{
    fault::{Fault, FaultDetail, FaultKind, SHOWN, excerpt},
    fields::{Fields, Given},
};

const A_LIST: &str = "a list of rows";

/// A row as it came: a value a field, and what is wrong with its names.
pub(crate) struct Row<'a> {
    pub(crate) given: Vec<Given<'a>>,
    pub(crate) faults: Vec<Fault>,
}

/// Why a text cannot be read as rows.
pub(crate) enum Unreadable {
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

/// A text that is one: looked through once, so that its strings need not be.
pub(crate) fn utf8(text: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(text).map_err(|error| Unreadable::Syntax(error.to_string()))
}

/// Reads one row.
pub(crate) fn read_row<'a>(fields: &Fields, text: &'a [u8]) -> Result<Row<'a>, Unreadable> {
    let mut json = serde_json::Deserializer::from_str(utf8(text)?);
    let row = RowSeed(fields, FaultDetail::Whole).deserialize(&mut json)?;
    json.end()?;
    Ok(row)
}

/// Reads a list of rows.
pub(crate) fn read_rows<'a>(fields: &Fields, text: &'a str, detail: FaultDetail) -> Result<Vec<Row<'a>>, Unreadable> {
    let mut json = serde_json::Deserializer::from_str(text);
    let rows = ListSeed(fields, detail).deserialize(&mut json)?;
    json.end()?;
    Ok(rows)
}

/// Reads a list and keeps nothing of it: how many rows it has, or what is wrong with it, and where.
pub(crate) fn check_list(fields: &Fields, text: &str) -> Result<usize, Unreadable> {
    let mut json = serde_json::Deserializer::from_str(text);
    let rows = json.deserialize_seq(SkimVisitor(fields))?;
    json.end()?;
    Ok(rows)
}

struct SkimVisitor<'f>(&'f Fields);

impl<'de> Visitor<'de> for SkimVisitor<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(A_LIST)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut rows = 0;
        while list.next_element_seed(RowSeed(self.0, FaultDetail::Count))?.is_some() {
            rows += 1;
        }
        Ok(rows)
    }
}

struct RowSeed<'f>(&'f Fields, FaultDetail);

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
        let mut given = vec![Given::Absent; fields.fields.len()];
        let mut faults = Vec::new();
        let mut expected = 0;
        while let Some(name) = map.next_key_seed(TextSeed)? {
            // most rows have the fields in one order
            let next = fields.fields.get(expected).filter(|field| field.name() == name).map(|_| expected);
            let place = next.or_else(|| fields.place(&name));
            expected = place.map_or(expected, |place| place + 1);
            match place {
                Some(place) => {
                    let value = map.next_value_seed(GivenSeed)?;
                    if given[place] != Given::Absent && faults.len() < SHOWN {
                        faults.push(Fault::new(&name, FaultKind::DuplicateField, "is given twice", Value::Null));
                    }
                    given[place] = value;
                }
                None if fields.is_unused(&name) => {
                    map.next_value::<IgnoredAny>()?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    if faults.len() < SHOWN {
                        faults.push(match self.1 {
                            FaultDetail::Whole => fields.unknown(&name, Value::Null),
                            FaultDetail::Count => Fault::counted("", FaultKind::UnknownField),
                        });
                    }
                }
            }
        }
        Ok(Row { given, faults })
    }
}

struct ListSeed<'f>(&'f Fields, FaultDetail);

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Vec<Row<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<Row<'de>>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Vec<Row<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(A_LIST)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Row<'de>>, A::Error> {
        let (mut rows, mut faults) = (Vec::new(), 0);
        loop {
            // others than those that an answer lists are only counted
            let detail = if faults >= SHOWN { FaultDetail::Count } else { self.1 };
            let Some(row) = list.next_element_seed(RowSeed(self.0, detail))? else { break };
            faults += row.faults.len();
            rows.push(row);
        }
        Ok(rows)
    }
}

/// A text, borrowed where it has no escapes.
pub(crate) struct TextSeed;

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

struct GivenSeed;

impl<'de> DeserializeSeed<'de> for GivenSeed {
    type Value = Given<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Given<'de>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for GivenSeed {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Given<'de>, E> {
        Ok(Given::Number(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Given<'de>, E> {
        Ok(Given::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Given<'de>, E> {
        Ok(Given::Number(value as f64))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Given<'de>, E> {
        Ok(Given::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Given<'de>, E> {
        Ok(Given::Other(if value { "true" } else { "false" }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Given::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given::Other("an object"))
    }
}
