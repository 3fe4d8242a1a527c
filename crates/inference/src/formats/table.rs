//! Rows of a table with named columns: the header, the predictions, and a summary.

use predictor::Prediction;
use rayon::prelude::*;
use schema::CellValue;
use schema::closest_match;

use crate::{
    blocks::{rows_per_task, tasks_per_block},
    loaded_model::LoadedModel,
    row_schema::{FieldSchema, RawValue, RowSchema},
    validation::{ErrorDetail, FieldError},
};

/// Rows that are in memory at a time, at most.
pub const MAX_BLOCK_ROWS: usize = 4096;

/// The number of rows of a table that were predicted and rejected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoringSummary {
    /// Rows with a prediction.
    pub rows: u64,
    /// Rows without a prediction.
    pub refused: u64,
    /// The first of those: its line and its errors.
    pub first_error: Option<String>,
}

/// The columns of a table that the fields of a row are read from.
#[derive(Debug)]
pub struct Header {
    /// The column of each field; none where an optional one is absent.
    pub places: Vec<Option<usize>>,
}

impl Header {
    /// Finds the fields among the names of the columns. Other columns are ignored.
    ///
    /// # Errors
    /// If a required column is absent, a column occurs twice, or a name is probably misspelt.
    pub fn find(fields: &RowSchema, names: &[&str]) -> Result<Self, String> {
        let mut places = Vec::new();
        for field in &fields.fields {
            let mut positions = names.iter().enumerate().filter(|(_, name)| **name == field.name()).map(|(place, _)| place);
            let place = positions.next();
            if positions.next().is_some() {
                return Err(format!("the column \"{}\" is there twice", field.name()));
            }
            if place.is_none() {
                let others = names.iter().copied().filter(|name| fields.index_of(name).is_none() && !fields.is_unused(name));
                if let Some(near) = closest_match(field.name(), others) {
                    return Err(format!("there is no column \"{}\", but \"{near}\": is it misspelt?", field.name()));
                }
                if field.column.spec.required {
                    return Err(format!("there is no column \"{}\", which is required", field.name()));
                }
            }
            places.push(place);
        }
        if places.iter().all(Option::is_none) {
            let known: Vec<&str> = fields.fields.iter().map(FieldSchema::name).collect();
            return Err(format!("none of the columns {} is there; is the first line a header?", known.join(", ")));
        }
        Ok(Self { places })
    }

    /// Whether a field is made of this column.
    pub fn is_used(&self, column: usize) -> bool {
        self.places.contains(&Some(column))
    }

    /// The values of a row, field by field.
    pub fn values<'a>(&self, mut cell: impl FnMut(usize) -> RawValue<'a>) -> Vec<RawValue<'a>> {
        self.places.iter().map(|place| place.map_or(RawValue::Absent, &mut cell)).collect()
    }
}

/// The columns that a table of predictions has after those of the input.
pub fn output_columns(model: &LoadedModel) -> Vec<String> {
    let name = format!("predicted_{}", model.target());
    let bounds = ["low", "high"].map(|end| format!("{name}_{end}"));
    let interval = model.predictor.model().file().interval.is_some();
    let bounds = bounds.into_iter().filter(|_| interval);
    [name.clone()].into_iter().chain(bounds).chain(["problem".to_owned()]).collect()
}

/// Predicts rows, and adds them to the window of drift. A row has a prediction, or a text of its errors.
pub fn predict_rows(model: &LoadedModel, rows: &[Vec<RawValue>]) -> Vec<Result<Prediction, String>> {
    rows.par_chunks(rows_per_task(model.row_schema.fields.len()))
        .flat_map_iter(|rows| {
            let mut validated: Vec<Vec<CellValue>> = Vec::with_capacity(rows.len());
            let mut problems = Vec::with_capacity(rows.len());
            for values in rows {
                let mut errors = Vec::new();
                validated.push(model.row_schema.validate(values, &model.predictor, ErrorDetail::Whole, &mut errors));
                problems.push((!errors.is_empty()).then(|| error_text(&errors)));
            }
            let predictions = model.predict_many(&validated, true);
            let results: Vec<Result<Prediction, String>> = predictions
                .into_iter()
                .zip(problems)
                .zip(&validated)
                .map(|((prediction, problem), cells)| match problem {
                    Some(problem) => Err(problem),
                    None if !prediction.value.is_finite() => Err(FieldError::no_prediction().text()),
                    None => {
                        model.count(cells, prediction.value);
                        Ok(prediction)
                    }
                })
                .collect();
            results
        })
        .collect()
}

/// The errors of a row in one line.
pub fn error_text(errors: &[FieldError]) -> String {
    errors.iter().map(FieldError::text).collect::<Vec<_>>().join("; ")
}

/// The number of rows with `fields` fields that are in memory at a time, at most.
pub fn rows_per_block(fields: usize) -> usize {
    MAX_BLOCK_ROWS.min(rows_per_task(fields) * tasks_per_block())
}

impl ScoringSummary {
    /// Counts the row that begins at `line`.
    pub fn count(&mut self, line: u64, results: &Result<Prediction, String>) {
        match results {
            Ok(_) => self.rows += 1,
            Err(problem) => {
                self.refused += 1;
                self.first_error.get_or_insert_with(|| format!("line {line}: {problem}"));
            }
        }
    }
}
