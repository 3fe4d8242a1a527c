//! The fields of a request: what came, judged by the schema, as cells for the model.

use std::borrow::Cow;

use drift::{Distribution, Layout, Reference, Seen};
use features::Cell;
use predictor::Predictor;
use rustc_hash::{FxHashMap, FxHashSet};
use schema::{Column, ColumnType, Rule, UnknownCategory, iso_date, nearest};
use serde_json::{Value, json};

use crate::fault::{Fault, FaultDetail, FaultKind, LONGEST_EXCERPT, Warning, WarningKind, excerpt};

/// Levels that a message lists at most.
const LEVELS: usize = 100;
/// Bytes of a text that is taken for a value at most; a number, a date and a level are shorter.
pub(crate) const LONGEST_TEXT: usize = 4096;
/// What a longer text is called.
pub(crate) const LONG_TEXT: &str = "a text of more than 4096 bytes";
/// 2000-01-01, where nothing is known.
const A_DATE: f64 = 10_957.0;

/// A value as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Given<'a> {
    /// The field is not there.
    #[default]
    Absent,
    /// `null`.
    Null,
    Number(f64),
    Text(Cow<'a, str>),
    /// What no field takes: true or false, a list, an object.
    Other(&'static str),
}

impl Given<'_> {
    fn to_json(&self) -> Value {
        match self {
            Self::Absent | Self::Null => Value::Null,
            Self::Number(value) => json!(value),
            Self::Text(text) => json!(excerpt(text)),
            Self::Other(what) => json!(what),
        }
    }
}

/// How cells are judged.
#[derive(Clone, Copy)]
struct Rules {
    /// Whether levels that nobody knows share a bucket.
    bucket: bool,
    detail: FaultDetail,
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) column: Column,
    /// What training saw, if that is known.
    range: Option<(f64, f64)>,
    levels: Option<FxHashSet<String>>,
    /// A value that training saw often: the median, or the most frequent level.
    pub(crate) typical: Value,
    /// Its place in the reference.
    reference: Option<usize>,
}

/// All fields, in the order of the schema.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) fields: Vec<Field>,
    places: FxHashMap<String, usize>,
    /// Columns of the table that the model does not need: the target, ids, texts.
    unused: FxHashSet<String>,
    /// What judges true values.
    target: Field,
    /// Whether levels that nobody knows share a bucket.
    bucket: bool,
}

impl Fields {
    pub(crate) fn new(predictor: &Predictor, reference: Option<&Reference>) -> Self {
        let preprocessor = predictor.preprocessor();
        let fields: Vec<Field> = preprocessor.columns().map(|column| field(column, predictor, reference)).collect();
        let places = fields.iter().enumerate().map(|(place, field)| (field.column.name.clone(), place)).collect();
        let all = preprocessor.schema().columns().iter().map(|column| column.name.clone());
        let unused = all.filter(|name| !fields.iter().any(|field| field.column.name == *name)).collect();
        let column = preprocessor.schema().target().clone();
        let target = Field { column, range: None, levels: None, typical: Value::Null, reference: None };
        Self { fields, places, unused, target, bucket: preprocessor.file().unknown == UnknownCategory::Other }
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Whether a column of the table that the model does not need is called so.
    pub(crate) fn is_unused(&self, name: &str) -> bool {
        self.unused.contains(name)
    }

    /// What is said of a field that there is not.
    pub(crate) fn unknown(&self, name: &str, input: Value) -> Fault {
        let name = &*excerpt(name);
        let near = nearest(name, self.fields.iter().map(|field| field.column.name.as_str())).map(str::to_owned);
        let hint = near.as_ref().map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
        let message = format!("there is no field \"{name}\"{hint}");
        Fault { nearest: near, ..Fault::new(name, FaultKind::UnknownField, message, input) }
    }

    /// The target's column.
    pub(crate) fn target(&self) -> &Column {
        &self.target.column
    }

    /// Checks a true value as `process` checks a cell of the target: type, range, and that it does not stand for a missing value. `field`
    /// is the name that it was sent under.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub(crate) fn check_true_value(&self, field: &str, y_true: f64) -> Result<(), Box<Fault>> {
        let given = Given::Number(y_true);
        match self.target.judge(&given, self.rules(FaultDetail::Whole)) {
            Ok(Cell::Missing) => {
                let message = format!("{y_true} stands for a missing value in the column {}", self.target.name());
                Err(Box::new(Fault::new(field, FaultKind::Missing, message, given.to_json())))
            }
            Ok(_) => Ok(()),
            Err(fault) => Err(Box::new(Fault { field: field.to_owned(), ..*fault })),
        }
    }

    fn rules(&self, detail: FaultDetail) -> Rules {
        Rules { bucket: self.bucket, detail }
    }

    /// The cells of a row: one a field, in their order. Faults are added to those that are known.
    pub(crate) fn judge<'a>(
        &'a self,
        given: &'a [Given<'a>],
        predictor: &Predictor,
        detail: FaultDetail,
        faults: &mut Vec<Fault>,
    ) -> Vec<Cell<'a>> {
        let (before, rules) = (faults.len(), self.rules(detail));
        let mut cells = Vec::with_capacity(self.fields.len());
        for (field, given) in self.fields.iter().zip(given) {
            cells.push(match field.judge(given, rules) {
                Ok(cell) => cell,
                Err(fault) => {
                    faults.push(*fault);
                    Cell::Missing
                }
            });
        }
        if !self.bucket && faults.len() == before && self.fields.iter().any(Field::levels_are_open) {
            let preprocessor = predictor.preprocessor();
            if detail == FaultDetail::Count {
                let places = preprocessor.unknown_places_of_row(&cells).into_iter();
                faults.extend(places.map(|place| Fault::counted(self.fields[place].name(), FaultKind::UnknownLevel)));
            } else {
                faults.extend(preprocessor.unknown_levels_of_row(&cells).into_iter().map(|(place, unknown)| {
                    let reason = excerpt(&unknown.reason);
                    Fault::new(&unknown.column, FaultKind::UnknownLevel, reason, given[place].to_json())
                }));
            }
        }
        cells
    }

    /// What should be known of a row that keeps to the schema.
    pub(crate) fn warnings(&self, cells: &[Cell]) -> Vec<Warning> {
        self.fields.iter().zip(cells).filter_map(|(field, cell)| field.warning(cell)).collect()
    }

    /// The bins of a row in the reference.
    pub(crate) fn bins(&self, cells: &[Cell], layout: &Layout, bins: &mut Vec<u32>) {
        for (field, cell) in self.fields.iter().zip(cells) {
            let Some(place) = field.reference else { continue };
            let seen = match cell {
                Cell::Missing => Seen::Missing,
                Cell::Number(value) => Seen::Number(*value),
                Cell::Level(level) => Seen::Level(level),
            };
            bins.push(layout.bin(place, seen));
        }
    }
}

fn field(column: &Column, predictor: &Predictor, reference: Option<&Reference>) -> Field {
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
                ColumnType::Date => json!(iso_date(usual.unwrap_or(A_DATE).floor())),
                ColumnType::Integer => json!(usual.unwrap_or(1.0).round().clamp(min, max)),
                _ => json!(usual.unwrap_or(1.0).clamp(min, max)),
            }
        }
    };
    let reference = reference.and_then(|reference| reference.columns.iter().position(|known| known.name == column.name));
    Field { column: column.clone(), range, levels, typical, reference }
}

impl Field {
    pub(crate) fn name(&self) -> &str {
        &self.column.name
    }

    /// The range of training rows, if it is known.
    pub(crate) fn seen_range(&self) -> Option<(f64, f64)> {
        self.range
    }

    /// Whether training rows alone say which levels there are.
    fn levels_are_open(&self) -> bool {
        self.column.spec.kind == ColumnType::Category && self.column.spec.levels.is_empty()
    }

    #[inline]
    fn judge<'a>(&'a self, given: &'a Given<'a>, rules: Rules) -> Result<Cell<'a>, Box<Fault>> {
        // what nearly all values are
        match (given, self.column.spec.kind) {
            (Given::Number(value), ColumnType::Float | ColumnType::Integer)
                if !self.column.has_numeric_missing() && self.column.accepts(*value) =>
            {
                return Ok(Cell::Number(*value));
            }
            (Given::Text(text), ColumnType::Category) => {
                if let Some(level) = self.column.listed_level(text) {
                    return Ok(Cell::Level(Cow::Borrowed(level)));
                }
            }
            _ => {}
        }
        self.judge_any(given, rules)
    }

    fn judge_any<'a>(&'a self, given: &'a Given<'a>, rules: Rules) -> Result<Cell<'a>, Box<Fault>> {
        match given {
            // what is wrong with a long text is said of its ends
            Given::Text(text) if text.len() > LONGEST_EXCERPT && text.len() <= LONGEST_TEXT => {
                let judged = self.judge_whole(given, Rules { detail: FaultDetail::Count, ..rules });
                let short = Given::Text(excerpt(text));
                match (judged, rules.detail) {
                    (Err(_), FaultDetail::Whole) => match self.judge_whole(&short, rules) {
                        Err(fault) => Err(fault),
                        Ok(_) => self.judge_whole(given, rules),
                    },
                    (judged, _) => judged,
                }
            }
            _ => self.judge_whole(given, rules),
        }
    }

    fn judge_whole<'a>(&'a self, given: &'a Given<'a>, rules: Rules) -> Result<Cell<'a>, Box<Fault>> {
        let column = &self.column;
        let fault = |kind, reason: String| self.fault(kind, reason, given, rules.detail);
        let missing =
            || column.check_missing().map(|()| Cell::Missing).map_err(|found| fault(FaultKind::Missing, found.reason));
        let wrong = |what: &str| {
            let wanted = match column.spec.kind {
                ColumnType::Category => "text".to_owned(),
                ColumnType::Date => format!("a date of the form {}", column.date_format()),
                ColumnType::Integer => "an integer".to_owned(),
                _ => "a number".to_owned(),
            };
            Err(fault(FaultKind::WrongType, format!("{what} is not {wanted}")))
        };
        match (given, column.spec.kind) {
            (Given::Absent | Given::Null, _) => missing(),
            (Given::Other(what), _) => wrong(what),
            (Given::Number(value), ColumnType::Float | ColumnType::Integer) if !column.has_numeric_missing() => {
                match column.check_number(*value) {
                    Ok(value) => Ok(Cell::Number(value)),
                    Err(found) => Err(fault(self.number_fault(*value), found.reason)),
                }
            }
            (Given::Number(value), ColumnType::Category) => self.level(&value.to_string(), rules, fault).map(owned),
            (Given::Number(value), _) => self.number(&value.to_string(), fault),
            (Given::Text(text), _) if text.len() > LONGEST_TEXT => wrong(LONG_TEXT),
            (Given::Text(text), ColumnType::Category) => self.level(text, rules, fault),
            (Given::Text(text), _) => self.number(text, fault),
        }
    }

    fn number<'a>(&self, text: &str, fault: impl Fn(FaultKind, String) -> Box<Fault>) -> Result<Cell<'a>, Box<Fault>> {
        match self.column.number(text) {
            Ok(value) => Ok(value.map_or(Cell::Missing, Cell::Number)),
            Err(found) => match text.trim().parse::<f64>() {
                Ok(value) if value.is_finite() && self.column.spec.kind != ColumnType::Date => {
                    Err(fault(self.number_fault(value), found.reason))
                }
                _ if self.column.is_missing(text.trim()) => Err(fault(FaultKind::Missing, found.reason)),
                _ => Err(fault(FaultKind::WrongType, found.reason)),
            },
        }
    }

    fn level<'a>(
        &'a self,
        text: &'a str,
        rules: Rules,
        fault: impl Fn(FaultKind, String) -> Box<Fault>,
    ) -> Result<Cell<'a>, Box<Fault>> {
        match self.column.check_text(text) {
            Ok(level) => Ok(level.map_or(Cell::Missing, Cell::Level)),
            Err(Rule::Required) => Err(fault(FaultKind::Missing, "is missing, and the column is required".into())),
            Err(_) if rules.bucket => Ok(Cell::Level(Cow::Borrowed(text.trim()))),
            Err(_) if rules.detail == FaultDetail::Count => Err(fault(FaultKind::UnknownLevel, String::new())),
            Err(_) => {
                let reason = self.column.text(text).err().map_or_else(String::new, |found| found.reason);
                let levels = self.column.spec.levels.iter().map(String::as_str);
                let near = nearest(text, levels).map(str::to_owned);
                Err(Box::new(Fault { nearest: near, ..*fault(FaultKind::UnknownLevel, reason) }))
            }
        }
    }

    /// What kind of fault it is that the column does not take a number.
    fn number_fault(&self, value: f64) -> FaultKind {
        let spec = &self.column.spec;
        let outside = spec.min.is_some_and(|min| value < min) || spec.max.is_some_and(|max| value > max);
        if outside { FaultKind::OutOfRange } else { FaultKind::WrongType }
    }

    fn fault(&self, kind: FaultKind, reason: String, given: &Given, detail: FaultDetail) -> Box<Fault> {
        if detail == FaultDetail::Count {
            return Box::new(Fault::counted(self.name(), kind));
        }
        let spec = &self.column.spec;
        let mut allowed = serde_json::Map::new();
        for (key, bound) in [("min", spec.min), ("max", spec.max)] {
            if let Some(bound) = bound {
                allowed.insert(key.into(), json!(bound));
            }
        }
        if !spec.levels.is_empty() {
            allowed.insert("levels".into(), json!(spec.levels.iter().take(LEVELS).collect::<Vec<_>>()));
        }
        let allowed = (!allowed.is_empty()).then_some(Value::Object(allowed));
        Box::new(Fault { allowed, ..Fault::new(self.name(), kind, reason, given.to_json()) })
    }

    fn warning(&self, cell: &Cell) -> Option<Warning> {
        let (kind, message) = match cell {
            Cell::Missing => (WarningKind::Imputed, "is missing: what is usual in training rows takes its place".to_owned()),
            Cell::Number(value) => {
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
                (WarningKind::OutsideTraining, message)
            }
            Cell::Level(level) => {
                self.levels.as_ref().filter(|levels| !levels.contains(level.as_ref()))?;
                (WarningKind::UnseenLevel, format!("\"{level}\" did not occur in training rows"))
            }
        };
        Some(Warning { field: self.name().to_owned(), kind, message })
    }
}

fn owned<'a>(cell: Cell<'_>) -> Cell<'a> {
    match cell {
        Cell::Missing => Cell::Missing,
        Cell::Number(value) => Cell::Number(value),
        Cell::Level(level) => Cell::Level(Cow::Owned(level.into_owned())),
    }
}
