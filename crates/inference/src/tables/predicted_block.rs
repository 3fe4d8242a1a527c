//! The predictions of a block: its rows are validated, and the valid ones predicted.

use std::borrow::Cow;

use predictor::Prediction;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use schema::CellValue;
use schema::{Column, ColumnType, UnknownCategory};

use crate::{
    blocks::rows_per_task,
    loaded_model::LoadedModel,
    row_schema::RawValue,
    tables::{
        block::{PredictedBlock, Quarantined, RowBlock},
        header::TableOptions,
    },
    validation::{ErrorDetail, FieldError, FieldErrorKind, FieldWarning},
};

/// Errors of a row that a reason names after the first.
const NAMED_ERRORS: usize = 20;

/// How the blocks of a table are predicted.
pub(super) struct BlockPredictor<'a> {
    model: &'a LoadedModel,
    options: TableOptions,
    /// The place of each column of the table.
    places: FxHashMap<&'a str, usize>,
    /// Ids and texts that are required, with their places.
    required_texts: Vec<(usize, &'a Column)>,
    /// Whether unknown levels share a bucket.
    has_bucket: bool,
}

/// The predictions of some rows of a block.
#[derive(Default)]
struct Part {
    rows: Vec<usize>,
    predictions: Vec<Vec<f64>>,
    warnings: Vec<String>,
    quarantined: Vec<Quarantined>,
    unknown_levels: u64,
}

impl<'a> BlockPredictor<'a> {
    /// For blocks of a table with the columns `names`.
    pub(super) fn new(model: &'a LoadedModel, names: &'a [String], options: TableOptions) -> Self {
        let preprocessor = model.predictor.preprocessor();
        let places: FxHashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let is_text = |column: &&Column| matches!(column.spec.kind, ColumnType::Id | ColumnType::Text);
        let required = preprocessor.schema().columns().iter().filter(|column| column.spec.required).filter(is_text);
        let required_texts = required.filter_map(|column| Some((*places.get(column.name.as_str())?, column))).collect();
        let has_bucket = preprocessor.file().unknown == UnknownCategory::Other;
        Self { model, options, places, required_texts, has_bucket }
    }

    /// Predicts the rows of a block on all threads.
    pub(super) fn predict(&self, block: Box<dyn RowBlock>) -> PredictedBlock {
        let rows: Vec<usize> = (0..block.rows()).collect();
        let rows_per_task = rows_per_task(self.model.row_schema.fields.len());
        let parts: Vec<Part> = rows.par_chunks(rows_per_task).map(|rows| self.predict_part(&*block, rows)).collect();
        let malformed = block.malformed().into_iter().map(|malformed| Quarantined {
            line: malformed.line,
            column: malformed.column,
            value: String::new(),
            reason: format!("the record {}", malformed.reason),
            record: malformed.record,
        });
        let mut whole = Part { quarantined: malformed.collect(), ..Part::default() };
        for part in parts {
            whole.rows.extend(part.rows);
            if whole.predictions.is_empty() {
                whole.predictions = part.predictions;
            } else {
                whole.predictions.iter_mut().zip(part.predictions).for_each(|(whole, part)| whole.extend(part));
            }
            whole.warnings.extend(part.warnings);
            whole.quarantined.extend(part.quarantined);
            whole.unknown_levels += part.unknown_levels;
        }
        let Part { rows, predictions, warnings, mut quarantined, unknown_levels } = whole;
        quarantined.sort_by_key(|row| row.line);
        PredictedBlock { block, rows, predictions, warnings, quarantined, unknown_levels }
    }

    fn predict_part(&self, block: &dyn RowBlock, rows: &[usize]) -> Part {
        let (model, mut part) = (self.model, Part::default());
        let mut read: Vec<(usize, Vec<RawValue>, Vec<FieldError>)> = Vec::with_capacity(rows.len());
        for row in rows {
            match block.read(*row, &model.row_schema) {
                Ok(row_values) => read.push((*row, row_values.values, row_values.errors)),
                Err(reason) => part.quarantined.push(Quarantined {
                    line: block.line(*row),
                    column: String::new(),
                    value: String::new(),
                    reason: format!("the record {reason}"),
                    record: block.record(*row).into_owned(),
                }),
            }
        }
        let (mut valid, mut cells): (Vec<usize>, Vec<Vec<CellValue>>) = (Vec::new(), Vec::new());
        for (row, values, errors) in &read {
            let mut errors = errors.clone();
            let row_cells = model.row_schema.validate(values, &model.predictor, ErrorDetail::Whole, &mut errors);
            self.check_required_texts(block, *row, &mut errors);
            if errors.is_empty() {
                valid.push(*row);
                cells.push(row_cells);
            } else {
                part.quarantined.push(self.quarantine(block, *row, errors));
            }
        }
        for ((row, cells), numbers) in valid.iter().zip(&cells).zip(self.numbers(&cells)) {
            if !numbers[0].is_finite() {
                part.quarantined.push(self.quarantine(block, *row, vec![FieldError::no_prediction()]));
                continue;
            }
            part.rows.push(*row);
            part.predictions.resize_with(numbers.len(), Vec::new);
            part.predictions.iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
            let warnings = model.row_schema.warnings(cells);
            part.warnings.push(warnings.iter().map(FieldWarning::text).collect::<Vec<_>>().join("; "));
            if self.has_bucket {
                let unknown = model.predictor.preprocessor().unknown_places_of_row(cells);
                part.unknown_levels += unknown.len() as u64;
            }
        }
        part
    }

    /// The numbers that are written for each row, the prediction first.
    fn numbers(&self, rows: &[Vec<CellValue>]) -> Vec<Vec<f64>> {
        let intervals = self.options.intervals();
        let of_prediction = |prediction: &Prediction| {
            let bounds = prediction.interval.filter(|_| intervals);
            [prediction.value].into_iter().chain(bounds.into_iter().flat_map(<[f64; 2]>::from)).collect()
        };
        let explainer = self.model.explainer.as_ref().ok().filter(|_| self.options.contributions());
        let Some(explainer) = explainer else {
            return self.model.predict_many(rows, intervals).iter().map(of_prediction).collect();
        };
        let rows = self.model.explain_many(explainer, rows, intervals);
        rows.into_iter()
            .map(|(prediction, parts)| {
                let mut numbers: Vec<f64> = of_prediction(&prediction);
                numbers.push(parts.base);
                numbers.extend(parts.parts);
                numbers
            })
            .collect()
    }

    /// Adds an error for each id and text that is required and missing.
    fn check_required_texts(&self, block: &dyn RowBlock, row: usize, errors: &mut Vec<FieldError>) {
        if self.required_texts.is_empty() {
            return;
        }
        let texts = block.texts(row);
        for (place, column) in &self.required_texts {
            if let Err(violation) = column.text(&texts[*place]) {
                let error =
                    FieldError::new(&column.name, FieldErrorKind::Missing, violation.reason, serde_json::Value::Null);
                errors.push(error);
            }
        }
    }

    /// A row with errors, which are sorted as the columns of the schema are.
    fn quarantine(&self, block: &dyn RowBlock, row: usize, mut errors: Vec<FieldError>) -> Quarantined {
        let schema = self.model.predictor.preprocessor().schema();
        errors.sort_by_key(|error| schema.index_of(&error.field).unwrap_or(usize::MAX));
        let mut reason = errors[0].message.clone();
        for error in errors.iter().skip(1).take(NAMED_ERRORS) {
            reason.push_str(&format!("; and {}: {}", error.field, error.message));
        }
        if errors.len() > NAMED_ERRORS + 1 {
            reason.push_str(&format!("; and {} more columns", errors.len() - NAMED_ERRORS - 1));
        }
        let place = self.places.get(errors[0].field.as_str());
        let value = place.and_then(|place| block.texts(row).into_iter().nth(*place)).map(Cow::into_owned);
        Quarantined {
            line: block.line(row),
            column: errors.swap_remove(0).field,
            value: value.unwrap_or_default(),
            reason,
            record: block.record(row).into_owned(),
        }
    }
}
