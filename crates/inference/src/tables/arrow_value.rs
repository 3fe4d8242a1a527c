//! A cell of an Arrow column: its value for a field, and its text.

use std::borrow::Cow;

use arrow_array::{Array, cast::AsArray, downcast_integer_array, types::Float32Type, types::Float64Type};
use arrow_schema::DataType;

use crate::row_schema::RawValue;

/// A cell of a column of one of the types that a stream may have.
enum ArrowCell<'a> {
    Missing,
    /// All integers of 64 bits, signed or not.
    Integer(i128),
    Single(f32),
    Double(f64),
    Text(&'a str),
    Boolean(bool),
    Other,
}

fn cell(array: &dyn Array, row: usize) -> ArrowCell<'_> {
    if array.is_null(row) {
        return ArrowCell::Missing;
    }
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        return match cell(dictionary.keys(), row) {
            ArrowCell::Integer(key) => usize::try_from(key).map_or(ArrowCell::Other, |key| cell(dictionary.values(), key)),
            _ => ArrowCell::Other,
        };
    }
    downcast_integer_array!(
        array => ArrowCell::Integer(i128::from(array.value(row))),
        DataType::Float32 => match array.as_primitive::<Float32Type>().value(row) {
            value if value.is_nan() => ArrowCell::Missing,
            value => ArrowCell::Single(value),
        },
        DataType::Float64 => match array.as_primitive::<Float64Type>().value(row) {
            value if value.is_nan() => ArrowCell::Missing,
            value => ArrowCell::Double(value),
        },
        DataType::Utf8 => ArrowCell::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => ArrowCell::Text(array.as_string::<i64>().value(row)),
        DataType::Boolean => ArrowCell::Boolean(array.as_boolean().value(row)),
        _ => ArrowCell::Other,
    )
}

/// The value of a cell for the field of its column.
pub(super) fn raw_value(array: &dyn Array, row: usize) -> RawValue<'_> {
    match cell(array, row) {
        ArrowCell::Missing => RawValue::Null,
        ArrowCell::Integer(value) => RawValue::Number(value as f64),
        ArrowCell::Single(value) => RawValue::Number(value.into()),
        ArrowCell::Double(value) => RawValue::Number(value),
        ArrowCell::Text(text) => RawValue::Text(Cow::Borrowed(text)),
        ArrowCell::Boolean(_) | ArrowCell::Other => RawValue::Other("a value of this type"),
    }
}

/// The text of a cell, with all digits; empty where there is none.
pub(super) fn text(array: &dyn Array, row: usize) -> Cow<'_, str> {
    let number = |text: serde_json::Result<String>| Cow::Owned(text.unwrap_or_default());
    match cell(array, row) {
        ArrowCell::Missing | ArrowCell::Other => Cow::Borrowed(""),
        ArrowCell::Integer(value) => Cow::Owned(value.to_string()),
        ArrowCell::Single(value) => number(serde_json::to_string(&value)),
        ArrowCell::Double(value) => number(serde_json::to_string(&value)),
        ArrowCell::Text(text) => Cow::Borrowed(text),
        ArrowCell::Boolean(value) => Cow::Owned(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float32Array, Int64Array, UInt64Array, types::UInt8Type};

    use super::*;

    #[test]
    fn cells_keep_all_their_digits() {
        let levels: DictionaryArray<UInt8Type> = [Some("p"), None, Some("q")].into_iter().collect();
        for (array, expected) in [
            (
                Arc::new(Int64Array::from(vec![i64::MIN, 9_007_199_254_740_993])) as ArrayRef,
                ["-9223372036854775808", "9007199254740993"],
            ),
            (Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])), ["18446744073709551615", ""]),
            (Arc::new(Float32Array::from(vec![0.1, f32::NAN])), ["0.1", ""]),
            (Arc::new(BooleanArray::from(vec![true, false])), ["true", "false"]),
            (Arc::new(levels), ["p", ""]),
        ] {
            assert_eq!([0, 1].map(|row| text(&array, row).into_owned()), expected);
        }
    }

    #[test]
    fn numbers_and_texts_are_values() {
        assert_eq!(raw_value(&Float32Array::from(vec![1.5]), 0), RawValue::Number(1.5));
        assert_eq!(raw_value(&Float32Array::from(vec![f32::NAN]), 0), RawValue::Null);
        assert_eq!(raw_value(&BooleanArray::from(vec![true]), 0), RawValue::Other("a value of this type"));
    }
}
