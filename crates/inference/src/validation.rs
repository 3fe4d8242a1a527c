//! Errors and warnings about the fields of a row.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

/// Errors that one answer lists at most.
pub const MAX_ERRORS_LISTED: usize = 100;

/// Bytes of a value, a name or a message that an answer repeats at most.
pub const MAX_EXCERPT_BYTES: usize = 400;

const NO_PREDICTION: &str = "the model has no finite prediction for this row";

/// A text, without its middle where it is longer than [`MAX_EXCERPT_BYTES`]: where a parser stopped is said at the end.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_EXCERPT_BYTES {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(MAX_EXCERPT_BYTES / 2);
    let rest = text.ceil_char_boundary(text.len() - MAX_EXCERPT_BYTES / 4);
    Cow::Owned(format!("{}… ({} bytes) …{}", &text[..end], text.len(), &text[rest..]))
}

/// How much an error says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorDetail {
    /// The message, the allowed values, and the closest match.
    Whole,
    /// The field and the kind, for errors that are only counted.
    Count,
}

/// The kind of an error. The names are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldErrorKind {
    /// The field is required and missing.
    Missing,
    /// The value has another type than the field.
    WrongType,
    /// The value is below the minimum or above the maximum.
    OutOfRange,
    /// The value is not one of the levels.
    UnknownLevel,
    /// There is no such field.
    UnknownField,
    /// The row has the field twice.
    DuplicateField,
    /// The row cannot be read.
    Malformed,
}

/// An error about one field of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The row, from 0, if there are several.
    pub row: Option<usize>,
    /// The field; empty for an error about the whole row.
    pub field: String,
    /// The kind.
    pub kind: FieldErrorKind,
    /// The message, which names the value and what is allowed.
    pub message: String,
    /// The raw value.
    pub input: Value,
    /// The allowed range or levels.
    pub allowed: Option<Value>,
    /// The closest match among the allowed names.
    pub nearest: Option<String>,
}

impl FieldError {
    /// An error with a message only.
    pub fn new(field: &str, kind: FieldErrorKind, message: impl Into<String>, input: Value) -> Self {
        Self { row: None, field: field.into(), kind, message: message.into(), input, allowed: None, nearest: None }
    }

    /// An error that is only counted.
    pub fn counted(field: &str, kind: FieldErrorKind) -> Self {
        Self::new(field, kind, "", Value::Null)
    }

    /// The error of a valid row without a finite prediction.
    pub fn no_prediction() -> Self {
        Self::new("", FieldErrorKind::OutOfRange, NO_PREDICTION, Value::Null)
    }

    /// The error as JSON: the keys of FastAPI's errors, with the allowed values.
    pub fn to_json(&self) -> Value {
        let place = [json!("body")].into_iter().chain(self.row.map(|row| json!(row)));
        let field = (!self.field.is_empty()).then(|| json!(self.field));
        let mut results = json!({
            "loc": place.chain(field).collect::<Vec<Value>>(),
            "type": self.kind,
            "msg": self.message,
            "input": self.input,
        });
        if let Some(allowed) = &self.allowed {
            results["allowed"] = allowed.clone();
        }
        if let Some(nearest) = &self.nearest {
            results["nearest"] = json!(nearest);
        }
        results
    }

    /// The error as text, for a cell of a table.
    pub fn text(&self) -> String {
        if self.field.is_empty() { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }
}

/// A warning about one field of a row that has a prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldWarning {
    /// The field.
    pub field: String,
    /// The kind.
    #[serde(rename = "type")]
    pub kind: FieldWarningKind,
    /// The message.
    #[serde(rename = "msg")]
    pub message: String,
}

impl FieldWarning {
    /// The warning as text, for a cell of a table.
    pub fn text(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

/// The kind of a warning. The names are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldWarningKind {
    /// The value is missing and was imputed as in training.
    Imputed,
    /// The value is allowed, but outside the range of the training rows.
    OutsideTraining,
    /// The level is allowed, but did not occur in training rows.
    UnseenLevel,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_repeated_in_part() {
        let long = format!("{}é at line 1", "é".repeat(100_000));
        let short = excerpt(&long);
        assert!(
            short.len() < MAX_EXCERPT_BYTES && short.ends_with("é at line 1") && short.contains("… (200012 bytes) …"),
            "{short}"
        );
        assert_eq!(excerpt("short"), "short");
    }
}
