//! A column of a tensor in little memory: nine bytes per value, and its texts concatenated.

use std::{borrow::Cow, fmt};

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use inference::row_schema::{LONG_TEXT, MAX_TEXT_BYTES, RawValue};

/// Values in one piece of memory; a piece is not moved when others are added.
const VALUES_PER_PIECE: usize = 4096;
/// Maximum bytes of texts in one piece of memory.
const MAX_TEXT_PIECE_BYTES: usize = 1 << 20;
/// Bits of the position of a text in its piece, and of its length.
const POSITION_BITS: u32 = 20;

/// The kind of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ValueKind {
    Null,
    Number,
    Text,
    LongText,
    True,
    False,
    List,
    Object,
}

/// The values of a column, in the order of rows.
#[derive(Debug, Default)]
pub(crate) struct TensorColumn {
    pieces: Vec<TensorPiece>,
    texts: Vec<String>,
}

/// [`VALUES_PER_PIECE`] values; fewer in the last piece.
#[derive(Debug, Default)]
struct TensorPiece {
    kinds: Vec<ValueKind>,
    /// The bits of a number; or the piece, position and length of a text.
    bits: Vec<u64>,
}

impl TensorColumn {
    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * VALUES_PER_PIECE + last.kinds.len())
    }

    /// The value of a row.
    pub(crate) fn value(&self, row: usize) -> RawValue<'_> {
        let (piece, place) = (&self.pieces[row / VALUES_PER_PIECE], row % VALUES_PER_PIECE);
        let bits = piece.bits[place];
        match piece.kinds[place] {
            ValueKind::Null => RawValue::Null,
            ValueKind::Number => RawValue::Number(f64::from_bits(bits)),
            ValueKind::Text => {
                let part = |shift: u32| (bits >> shift) as usize & ((1 << POSITION_BITS) - 1);
                let (start, length) = (part(POSITION_BITS), part(0));
                RawValue::Text(Cow::Borrowed(&self.texts[(bits >> (2 * POSITION_BITS)) as usize][start..start + length]))
            }
            ValueKind::LongText => RawValue::Other(LONG_TEXT),
            ValueKind::True => RawValue::Other("true"),
            ValueKind::False => RawValue::Other("false"),
            ValueKind::List => RawValue::Other("a list"),
            ValueKind::Object => RawValue::Other("an object"),
        }
    }

    fn push(&mut self, kind: ValueKind, bits: u64) {
        if self.pieces.last().is_none_or(|last| last.kinds.len() == VALUES_PER_PIECE) {
            self.pieces.push(TensorPiece::default());
        }
        if let Some(last) = self.pieces.last_mut() {
            last.kinds.push(kind);
            last.bits.push(bits);
        }
    }

    fn push_text(&mut self, text: &str) {
        if text.len() > MAX_TEXT_BYTES {
            return self.push(ValueKind::LongText, 0);
        }
        if self.texts.last().is_none_or(|last| last.len() + text.len() >= MAX_TEXT_PIECE_BYTES) {
            self.texts.push(String::new());
        }
        let piece = self.texts.len() - 1;
        let start = self.texts[piece].len();
        self.texts[piece].push_str(text);
        self.push(
            ValueKind::Text,
            ((piece as u64) << (2 * POSITION_BITS)) | ((start as u64) << POSITION_BITS) | text.len() as u64,
        );
    }
}

/// Appends a value to a column.
pub(crate) struct ValueVisitor<'c>(pub(crate) &'c mut TensorColumn);

impl<'de> Visitor<'de> for ValueVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push(ValueKind::Number, value.to_bits());
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
        self.0.push(ValueKind::Null, 0);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push(if value { ValueKind::True } else { ValueKind::False }, 0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.0.push(ValueKind::List, 0);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.0.push(ValueKind::Object, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeSeed;

    use super::*;
    use crate::api::seed::AnySeed;

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
        let mut column = TensorColumn::default();
        for row in &rows {
            AnySeed(ValueVisitor(&mut column)).deserialize(row).unwrap();
        }
        assert_eq!(column.len(), rows.len());
        for (row, text) in texts.iter().enumerate() {
            assert_eq!(column.value(row), RawValue::Text(Cow::Borrowed(text)));
        }
        let rest: Vec<RawValue> = (9000..rows.len()).map(|row| column.value(row)).collect();
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
        assert!(column.texts.len() > 2 && column.texts.iter().all(|texts| texts.len() < MAX_TEXT_PIECE_BYTES));
    }
}
