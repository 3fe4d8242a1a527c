//! The fields of a row: raw values are validated by the schema and become cells for the model.

use std::borrow::Cow;

use drift::{Distribution, Layout, Reference};
use predictor::Predictor;
use rustc_hash::{FxHashMap, FxHashSet};
use schema::CellValue;
use schema::{Column, ColumnType, Rule, UnknownCategory, closest_match, iso_date};
use serde_json::{Value, json};

use crate::validation::{
    ErrorDetail, FieldError, FieldErrorKind, FieldWarning, FieldWarningKind, MAX_EXCERPT_BYTES, excerpt,
};

/// Levels that a message lists at most.
const MAX_LEVELS_LISTED: usize = 100;
/// Bytes of the text of a value at most. Numbers, dates and levels are shorter.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The name of a longer text in messages.
pub const LONG_TEXT: &str = "a text of more than 4096 bytes";
/// The typical date where none is known, in days since 1970: 2000-01-01.
const DEFAULT_DATE: f64 = 10_957.0;

/// The value of a field before validation.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RawValue<'a> {
    /// The row does not have the field.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A value of a type that no field has: a boolean, a list, an object.
    Other(&'static str),
}

impl RawValue<'_> {
    fn to_json(&self) -> Value {
        match self {
            Self::Absent | Self::Null => Value::Null,
            Self::Number(value) => json!(value),
            Self::Text(text) => json!(excerpt(text)),
            Self::Other(what) => json!(what),
        }
    }
}

/// How values are validated.
#[derive(Clone, Copy)]
struct Rules {
    /// Whether unknown levels share a bucket.
    bucket: bool,
    detail: ErrorDetail,
}

/// A field of a row.
#[derive(Debug)]
pub struct FieldSchema {
    /// Its column in the schema.
    pub column: Column,
    /// The range of the training rows, where it is known.
    range: Option<(f64, f64)>,
    levels: Option<FxHashSet<String>>,
    /// The median of the training rows, or their most frequent level.
    pub typical: Value,
    /// Its index in the reference of drift.
    reference: Option<usize>,
}

/// The fields of a row, in the order of the schema.
#[derive(Debug)]
pub struct RowSchema {
    /// The columns that the model uses.
    pub fields: Vec<FieldSchema>,
    places: FxHashMap<String, usize>,
    /// Columns of the table that the model does not use: the target, ids, texts.
    unused: FxHashSet<String>,
    /// Validates actual values.
    target: FieldSchema,
    /// Whether levels that nobody knows share a bucket.
    bucket: bool,
}

impl RowSchema {
    /// The fields that `predictor` needs, with the ranges and levels of `reference`.
    pub fn new(predictor: &Predictor, reference: Option<&Reference>) -> Self {
        let preprocessor = predictor.preprocessor();
        let fields: Vec<FieldSchema> = preprocessor.columns().map(|column| field(column, predictor, reference)).collect();
        let places = fields.iter().enumerate().map(|(place, field)| (field.column.name.clone(), place)).collect();
        let all = preprocessor.schema().columns().iter().map(|column| column.name.clone());
        let unused = all.filter(|name| !fields.iter().any(|field| field.column.name == *name)).collect();
        let column = preprocessor.schema().target().clone();
        let target = FieldSchema { column, range: None, levels: None, typical: Value::Null, reference: None };
        Self { fields, places, unused, target, bucket: preprocessor.file().unknown == UnknownCategory::Other }
    }

    /// The index of the field `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Whether the table has a column `name` that the model does not use.
    pub fn is_unused(&self, name: &str) -> bool {
        self.unused.contains(name)
    }

    /// The error of an unknown field.
    pub fn unknown(&self, name: &str, input: Value) -> FieldError {
        let name = &*excerpt(name);
        let near = closest_match(name, self.fields.iter().map(|field| field.column.name.as_str())).map(str::to_owned);
        let hint = near.as_ref().map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
        let message = format!("there is no field \"{name}\"{hint}");
        FieldError { nearest: near, ..FieldError::new(name, FieldErrorKind::UnknownField, message, input) }
    }

    /// The column of the target.
    pub fn target(&self) -> &Column {
        &self.target.column
    }

    /// Validates an actual value as `process` validates a cell of the target. `field` is its name in the request.
    ///
    /// # Errors
    /// If it has the wrong type, is out of range, or stands for a missing value.
    pub fn check_actual(&self, field: &str, y_true: f64) -> Result<(), Box<FieldError>> {
        let values = RawValue::Number(y_true);
        match self.target.validate(&values, self.rules(ErrorDetail::Whole)) {
            Ok(CellValue::Missing) => {
                let message = format!("{y_true} stands for a missing value in the column {}", self.target.name());
                Err(Box::new(FieldError::new(field, FieldErrorKind::Missing, message, values.to_json())))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(Box::new(FieldError { field: field.to_owned(), ..*error })),
        }
    }

    fn rules(&self, detail: ErrorDetail) -> Rules {
        Rules { bucket: self.bucket, detail }
    }

    /// The cells of a row: one a field, in their order. Faults are added to those that are known.
    pub fn validate<'a>(
        &'a self,
        values: &'a [RawValue<'a>],
        predictor: &Predictor,
        detail: ErrorDetail,
        errors: &mut Vec<FieldError>,
    ) -> Vec<CellValue<'a>> {
        let (before, rules) = (errors.len(), self.rules(detail));
        let mut cells = Vec::with_capacity(self.fields.len());
        for (field, values) in self.fields.iter().zip(values) {
            cells.push(match field.validate(values, rules) {
                Ok(cell) => cell,
                Err(error) => {
                    errors.push(*error);
                    CellValue::Missing
                }
            });
        }
        if !self.bucket && errors.len() == before && self.fields.iter().any(FieldSchema::levels_are_open) {
            let preprocessor = predictor.preprocessor();
            if detail == ErrorDetail::Count {
                let places = preprocessor.unknown_places_of_row(&cells).into_iter();
                errors.extend(
                    places.map(|place| FieldError::counted(self.fields[place].name(), FieldErrorKind::UnknownLevel)),
                );
            } else {
                errors.extend(preprocessor.unknown_levels_of_row(&cells).into_iter().map(|(place, unknown)| {
                    let reason = excerpt(&unknown.reason);
                    FieldError::new(&unknown.column, FieldErrorKind::UnknownLevel, reason, values[place].to_json())
                }));
            }
        }
        cells
    }

    /// The warnings about a valid row.
    pub fn warnings(&self, cells: &[CellValue]) -> Vec<FieldWarning> {
        self.fields.iter().zip(cells).filter_map(|(field, cell)| field.warning(cell)).collect()
    }

    /// The bins of a row in the reference.
    pub fn bins(&self, cells: &[CellValue], layout: &Layout, bins: &mut Vec<u32>) {
        for (field, cell) in self.fields.iter().zip(cells) {
            let Some(place) = field.reference else { continue };
            bins.push(layout.bin(place, cell));
        }
    }
}

fn field(column: &Column, predictor: &Predictor, reference: Option<&Reference>) -> FieldSchema {
    let known = reference.and_then(|reference| reference.column(&column.name));
    let range = known.and_then(|known| known.number()).map(|number| (number.min, number.max));
    let levels = known.and_then(|known| match &known.distribution {
        Distribution::Levels(levels) => Some(levels.iter().map(|(level, _)| level.clone()).collect()),
        Distribution::Number(_) => None,
    });
    let file = predictor.preprocessor().file();
    let typical = match column.spec.kind {
        ColumnType::Category => {
            let encoder = file.categories.iter().find(|encoder| encoder.column == column.name);
            let usual = encoder.and_then(|encoder| encoder.levels.get(encoder.fill as usize)).cloned();
            let seen = known.and_then(|known| known.most_frequent()).map(str::to_owned);
            seen.or(usual).or(column.spec.levels.first().cloned()).map_or(Value::Null, |level| json!(level))
        }
        kind => {
            let usual_fill = file.numbers.iter().find(|number| number.name == column.name).map(|number| number.fill);
            let median = known.and_then(|known| known.number()).map(|number| number.median);
            let (min, max) = (column.spec.min.unwrap_or(f64::MIN), column.spec.max.unwrap_or(f64::MAX));
            let usual = median.or(usual_fill).filter(|value| value.is_finite());
            match kind {
                // in ISO 8601, which every date column understands
                ColumnType::Date => json!(iso_date(usual.unwrap_or(DEFAULT_DATE).floor())),
                ColumnType::Integer => json!(usual.unwrap_or(1.0).round().clamp(min, max)),
                _ => json!(usual.unwrap_or(1.0).clamp(min, max)),
            }
        }
    };
    let reference = reference.and_then(|reference| reference.columns.iter().position(|known| known.name == column.name));
    FieldSchema { column: column.clone(), range, levels, typical, reference }
}

impl FieldSchema {
    /// The name of its column.
    pub fn name(&self) -> &str {
        &self.column.name
    }

    /// The range of training rows, if it is known.
    pub fn seen_range(&self) -> Option<(f64, f64)> {
        self.range
    }

    /// Whether training rows alone say which levels there are.
    fn levels_are_open(&self) -> bool {
        self.column.spec.kind == ColumnType::Category && self.column.spec.levels.is_empty()
    }

    #[inline]
    fn validate<'a>(&'a self, values: &'a RawValue<'a>, rules: Rules) -> Result<CellValue<'a>, Box<FieldError>> {
        // what nearly all values are
        match (values, self.column.spec.kind) {
            (RawValue::Number(value), ColumnType::Float | ColumnType::Integer)
                if !self.column.has_numeric_missing() && self.column.accepts(*value) =>
            {
                return Ok(CellValue::Number(*value));
            }
            (RawValue::Text(text), ColumnType::Category) => {
                if let Some(level) = self.column.listed_level(text) {
                    return Ok(CellValue::Level(Cow::Borrowed(level)));
                }
            }
            _ => {}
        }
        self.validate_any(values, rules)
    }

    fn validate_any<'a>(&'a self, values: &'a RawValue<'a>, rules: Rules) -> Result<CellValue<'a>, Box<FieldError>> {
        match values {
            // what is wrong with a long text is said of its ends
            RawValue::Text(text) if text.len() > MAX_EXCERPT_BYTES && text.len() <= MAX_TEXT_BYTES => {
                let judged = self.validate_value(values, Rules { detail: ErrorDetail::Count, ..rules });
                let short = RawValue::Text(excerpt(text));
                match (judged, rules.detail) {
                    (Err(_), ErrorDetail::Whole) => match self.validate_value(&short, rules) {
                        Err(error) => Err(error),
                        Ok(_) => self.validate_value(values, rules),
                    },
                    (judged, _) => judged,
                }
            }
            _ => self.validate_value(values, rules),
        }
    }

    fn validate_value<'a>(&'a self, values: &'a RawValue<'a>, rules: Rules) -> Result<CellValue<'a>, Box<FieldError>> {
        let column = &self.column;
        let to_error = |kind, reason: String| self.error(kind, reason, values, rules.detail);
        let missing = || {
            column
                .check_missing()
                .map(|()| CellValue::Missing)
                .map_err(|violation| to_error(FieldErrorKind::Missing, violation.reason))
        };
        let wrong = |what: &str| {
            let wanted = match column.spec.kind {
                ColumnType::Category => "text".to_owned(),
                ColumnType::Date => format!("a date of the form {}", column.date_format()),
                ColumnType::Integer => "an integer".to_owned(),
                _ => "a number".to_owned(),
            };
            Err(to_error(FieldErrorKind::WrongType, format!("{what} is not {wanted}")))
        };
        match (values, column.spec.kind) {
            (RawValue::Absent | RawValue::Null, _) => missing(),
            (RawValue::Other(what), _) => wrong(what),
            (RawValue::Number(value), ColumnType::Float | ColumnType::Integer) if !column.has_numeric_missing() => {
                match column.check_number(*value) {
                    Ok(value) => Ok(CellValue::Number(value)),
                    Err(violation) => Err(to_error(self.number_error_kind(*value), violation.reason)),
                }
            }
            (RawValue::Number(value), ColumnType::Category) => {
                self.level(&value.to_string(), rules, to_error).map(CellValue::into_owned)
            }
            (RawValue::Number(value), _) => self.number(&value.to_string(), to_error),
            (RawValue::Text(text), _) if text.len() > MAX_TEXT_BYTES => wrong(LONG_TEXT),
            (RawValue::Text(text), ColumnType::Category) => self.level(text, rules, to_error),
            (RawValue::Text(text), _) => self.number(text, to_error),
        }
    }

    fn number<'a>(
        &self,
        text: &str,
        to_error: impl Fn(FieldErrorKind, String) -> Box<FieldError>,
    ) -> Result<CellValue<'a>, Box<FieldError>> {
        match self.column.number(text) {
            Ok(value) => Ok(value.map_or(CellValue::Missing, CellValue::Number)),
            Err(violation) => match text.trim().parse::<f64>() {
                Ok(value) if value.is_finite() && self.column.spec.kind != ColumnType::Date => {
                    Err(to_error(self.number_error_kind(value), violation.reason))
                }
                _ if self.column.is_missing(text.trim()) => Err(to_error(FieldErrorKind::Missing, violation.reason)),
                _ => Err(to_error(FieldErrorKind::WrongType, violation.reason)),
            },
        }
    }

    fn level<'a>(
        &'a self,
        text: &'a str,
        rules: Rules,
        to_error: impl Fn(FieldErrorKind, String) -> Box<FieldError>,
    ) -> Result<CellValue<'a>, Box<FieldError>> {
        match self.column.check_text(text) {
            Ok(level) => Ok(level.map_or(CellValue::Missing, CellValue::Level)),
            Err(Rule::Required) => Err(to_error(FieldErrorKind::Missing, "is missing, and the column is required".into())),
            Err(Rule::Level) if rules.bucket => Ok(CellValue::Level(Cow::Borrowed(text.trim()))),
            Err(_) if rules.detail == ErrorDetail::Count => Err(to_error(FieldErrorKind::UnknownLevel, String::new())),
            Err(_) => {
                let reason = self.column.text(text).err().map_or_else(String::new, |violation| violation.reason);
                let levels = self.column.spec.levels.iter().map(String::as_str);
                let near = closest_match(text, levels).map(str::to_owned);
                Err(Box::new(FieldError { nearest: near, ..*to_error(FieldErrorKind::UnknownLevel, reason) }))
            }
        }
    }

    /// The kind of error of a number that the column does not accept.
    fn number_error_kind(&self, value: f64) -> FieldErrorKind {
        let spec = &self.column.spec;
        let outside = spec.min.is_some_and(|min| value < min) || spec.max.is_some_and(|max| value > max);
        if outside { FieldErrorKind::OutOfRange } else { FieldErrorKind::WrongType }
    }

    fn error(&self, kind: FieldErrorKind, reason: String, values: &RawValue, detail: ErrorDetail) -> Box<FieldError> {
        if detail == ErrorDetail::Count {
            return Box::new(FieldError::counted(self.name(), kind));
        }
        let spec = &self.column.spec;
        let mut allowed = serde_json::Map::new();
        for (key, bound) in [("min", spec.min), ("max", spec.max)] {
            if let Some(bound) = bound {
                allowed.insert(key.into(), json!(bound));
            }
        }
        if !spec.levels.is_empty() {
            allowed.insert("levels".into(), json!(spec.levels.iter().take(MAX_LEVELS_LISTED).collect::<Vec<_>>()));
        }
        let allowed = (!allowed.is_empty()).then_some(Value::Object(allowed));
        Box::new(FieldError { allowed, ..FieldError::new(self.name(), kind, reason, values.to_json()) })
    }

    fn warning(&self, cell: &CellValue) -> Option<FieldWarning> {
        let (kind, message) = match cell {
            CellValue::Missing => {
                (FieldWarningKind::Imputed, "is missing: what is usual in training rows takes its place".to_owned())
            }
            CellValue::Number(value) => {
                let (low, high) = self.range.filter(|(low, high)| value < low || value > high)?;
                let show = |value: f64| match self.column.spec.kind {
                    ColumnType::Date => iso_date(value),
                    _ => value.to_string(),
                };
                let message = format!(
                    "{} is allowed, but lies outside of what training saw: {} to {}",
                    show(*value),
                    show(low),
                    show(high)
                );
                (FieldWarningKind::OutsideTraining, message)
            }
            CellValue::Level(level) => {
                self.levels.as_ref().filter(|levels| !levels.contains(level.as_ref()))?;
                (FieldWarningKind::UnseenLevel, format!("\"{level}\" did not occur in training rows"))
            }
        };
        Some(FieldWarning { field: self.name().to_owned(), kind, message })
    }
}
