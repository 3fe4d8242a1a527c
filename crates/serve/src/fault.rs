//! What is wrong with a row, field by field, as the client is told.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

/// Faults that one answer lists at most.
pub(crate) const SHOWN: usize = 100;

/// Bytes of a value, a name or a message that an answer repeats at most.
pub(crate) const LONGEST_EXCERPT: usize = 400;

const NO_PREDICTION: &str = "the model has no finite prediction for this row";

/// A text, without its middle where it is longer than [`LONGEST_EXCERPT`]: where a parser stopped is said at the end.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_EXCERPT {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(LONGEST_EXCERPT / 2);
    let rest = text.ceil_char_boundary(text.len() - LONGEST_EXCERPT / 4);
    Cow::Owned(format!("{}… ({} bytes) …{}", &text[..end], text.len(), &text[rest..]))
}

/// How much a fault says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultDetail {
    /// What is wrong, what is allowed, and what was probably meant.
    Whole,
    /// The field and the kind: for faults that are only counted.
    Count,
}

/// What kind of fault it is; the names are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// Required, and not there.
    Missing,
    /// Not a number, a date, or text, where that is needed.
    WrongType,
    /// Below the minimum or above the maximum.
    OutOfRange,
    /// Not one of the levels.
    UnknownLevel,
    /// No such field.
    UnknownField,
    /// Given twice.
    DuplicateField,
    /// The row itself cannot be read.
    Malformed,
}

/// A fault of one field of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// The row, from 0, where there are several.
    pub(crate) row: Option<usize>,
    /// The field; empty where it is the row as a whole.
    pub(crate) field: String,
    pub(crate) kind: FaultKind,
    /// What is wrong with the value, naming it and what is allowed.
    pub(crate) message: String,
    /// The value as it came.
    pub(crate) input: Value,
    /// The range or the levels.
    pub(crate) allowed: Option<Value>,
    /// What was probably meant.
    pub(crate) nearest: Option<String>,
}

impl Fault {
    /// A fault with a message and no more.
    pub(crate) fn new(field: &str, kind: FaultKind, message: impl Into<String>, input: Value) -> Self {
        Self { row: None, field: field.into(), kind, message: message.into(), input, allowed: None, nearest: None }
    }

    /// A fault that is only counted.
    pub(crate) fn counted(field: &str, kind: FaultKind) -> Self {
        Self::new(field, kind, "", Value::Null)
    }

    /// A row that keeps to the schema and that the model can make nothing of.
    pub(crate) fn no_prediction() -> Self {
        Self::new("", FaultKind::OutOfRange, NO_PREDICTION, Value::Null)
    }

    /// As part of an answer: the keys of FastAPI's errors, and what is allowed.
    pub(crate) fn to_json(&self) -> Value {
        let place = [json!("body")].into_iter().chain(self.row.map(|row| json!(row)));
        let field = (!self.field.is_empty()).then(|| json!(self.field));
        let mut told = json!({
            "loc": place.chain(field).collect::<Vec<Value>>(),
            "type": self.kind,
            "msg": self.message,
            "input": self.input,
        });
        if let Some(allowed) = &self.allowed {
            told["allowed"] = allowed.clone();
        }
        if let Some(nearest) = &self.nearest {
            told["nearest"] = json!(nearest);
        }
        told
    }

    /// In words, for a cell of a table.
    pub(crate) fn text(&self) -> String {
        if self.field.is_empty() { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }
}

/// What a client should know of a row that was predicted all the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Warning {
    /// The field.
    pub(crate) field: String,
    #[serde(rename = "type")]
    pub(crate) kind: WarningKind,
    #[serde(rename = "msg")]
    pub(crate) message: String,
}

/// What kind of warning it is; the names are stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WarningKind {
    /// No value came; what is usual took its place.
    Imputed,
    /// Allowed, but outside of what training saw.
    OutsideTraining,
    /// Allowed, but training had no such row.
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
            short.len() < LONGEST_EXCERPT && short.ends_with("é at line 1") && short.contains("… (200012 bytes) …"),
            "{short}"
        );
        assert_eq!(excerpt("short"), "short");
    }
}
