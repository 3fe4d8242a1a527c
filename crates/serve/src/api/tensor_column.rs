//! A column of a tensor in little memory: nine bytes a value, and its texts one behind the other.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use inference::row_schema::{LONG_TEXT, MAX_TEXT_BYTES, RawValue};

/// Values in one piece of memory; pieces do not move when others come.
const VALUES: usize = 4096;
/// Bytes of texts in one piece of memory at most.
const TEXTS: usize = 1 << 20;
/// Bits of the place of a text in its piece, and of its length.
const PLACE_BITS: u32 = 20;

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Null,
    Number,
    Text,
    LongText,
    True,
    False,
    List,
    Object,
}

/// Values of a column, in the order of rows.
#[derive(Debug, Default)]
pub(crate) struct Column {
    pieces: Vec<Piece>,
    texts: Vec<String>,
}

/// [`VALUES`] values; fewer in the last piece.
#[derive(Debug, Default)]
struct Piece {
    kinds: Vec<Kind>,
    /// The bits of a number; the piece, place and length of a text.
    bits: Vec<u64>,
}

impl Column {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * VALUES + last.kinds.len())
    }

    /// The value of a row.
    pub(crate) fn given(&self, row: usize) -> RawValue<'_> {
        let (piece, place) = (&self.pieces[row / VALUES], row % VALUES);
        let bits = piece.bits[place];
        match piece.kinds[place] {
            Kind::Null => RawValue::Null,
            Kind::Number => RawValue::Number(f64::from_bits(bits)),
            Kind::Text => {
                let part = |shift: u32| (bits >> shift) as usize & ((1 << PLACE_BITS) - 1);
                let (start, length) = (part(PLACE_BITS), part(0));
                RawValue::Text(Cow::Borrowed(&self.texts[(bits >> (2 * PLACE_BITS)) as usize][start..start + length]))
            }
            Kind::LongText => RawValue::Other(LONG_TEXT),
            Kind::True => RawValue::Other("true"),
            Kind::False => RawValue::Other("false"),
            Kind::List => RawValue::Other("a list"),
            Kind::Object => RawValue::Other("an object"),
        }
    }

    fn push(&mut self, kind: Kind, bits: u64) {
        if self.pieces.last().is_none_or(|last| last.kinds.len() == VALUES) {
            self.pieces.push(Piece::default());
        }
        if let Some(last) = self.pieces.last_mut() {
            last.kinds.push(kind);
            last.bits.push(bits);
        }
    }

    fn push_text(&mut self, text: &str) {
        if text.len() > MAX_TEXT_BYTES {
            return self.push(Kind::LongText, 0);
        }
        if self.texts.last().is_none_or(|last| last.len() + text.len() >= TEXTS) {
            self.texts.push(String::new());
        }
        let piece = self.texts.len() - 1;
        let start = self.texts[piece].len();
        self.texts[piece].push_str(text);
        self.push(Kind::Text, ((piece as u64) << (2 * PLACE_BITS)) | ((start as u64) << PLACE_BITS) | text.len() as u64);
    }
}

/// Reads a value to the end of a column.
pub(crate) struct ValueSeed<'c>(pub(crate) &'c mut Column);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push(Kind::Number, value.to_bits());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push_text(text);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push(Kind::Null, 0);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push(if value { Kind::True } else { Kind::False }, 0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.0.push(Kind::List, 0);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.0.push(Kind::Object, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were() {
        let long = "x".repeat(MAX_TEXT_BYTES);
        let texts: Vec<String> = (0..9000).map(|row| format!("{}é{row}", &long[..row % 700])).collect();
        let mut rows: Vec<serde_json::Value> = texts.iter().map(|text| serde_json::json!(text)).collect();
        rows.extend([serde_json::json!(null), 1.5.into(), (-7).into(), u64::MAX.into(), true.into(), false.into()]);
        rows.extend([
            serde_json::json!([1, [2]]),
            serde_json::json!({"a": 1}),
            long.clone().into(),
            format!("{long}x").into(),
        ]);
        let mut column = Column::default();
        for row in &rows {
            ValueSeed(&mut column).deserialize(row).unwrap();
        }
        assert_eq!(column.len(), rows.len());
        for (row, text) in texts.iter().enumerate() {
            assert_eq!(column.given(row), RawValue::Text(Cow::Borrowed(text)));
        }
        let rest: Vec<RawValue> = (9000..rows.len()).map(|row| column.given(row)).collect();
        let number = RawValue::Number;
        let other = RawValue::Other;
        assert_eq!(
            rest,
            [
                RawValue::Null,
                number(1.5),
                number(-7.0),
                number(u64::MAX as f64),
                other("true"),
                other("false"),
                other("a list"),
                other("an object"),
                RawValue::Text(Cow::Borrowed(&long)),
                other(LONG_TEXT)
            ]
        );
        assert!(column.texts.len() > 2 && column.texts.iter().all(|texts| texts.len() < TEXTS));
    }
}
