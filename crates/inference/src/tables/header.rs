//! The columns of a table: those of the fields of a row, and those that a prediction adds.

use schema::{TargetColumn, check_header};

use crate::{
    formats::{json::Row, table::Header},
    loaded_model::LoadedModel,
    row_schema::RawValue,
    tables::block::{OutputColumns, WARNINGS_COLUMN},
};

/// The numbers that are written beside the prediction. The model can compute them.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    intervals: bool,
    contributions: bool,
}

impl TableOptions {
    /// Checks that a model can compute prediction intervals and contributions of raw columns, where they are to be written.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(model: &LoadedModel, intervals: bool, contributions: bool) -> Result<Self, String> {
        if intervals && model.predictor.model().file().interval.is_none() {
            return Err("has no intervals: they are calibrated by cross-validation when a model is trained".into());
        }
        match &model.explainer {
            Err(reason) if contributions => Err(format!("cannot be explained: {reason}")),
            _ => Ok(Self { intervals, contributions }),
        }
    }

    /// Whether the two ends of the prediction interval are written.
    pub fn intervals(self) -> bool {
        self.intervals
    }

    /// Whether the contributions of the raw columns are written.
    pub fn contributions(self) -> bool {
        self.contributions
    }
}

/// The columns of a table, and those that the fields of a row are read from.
#[derive(Debug)]
pub struct InputColumns {
    /// The names, in order.
    pub names: Vec<String>,
    header: Header,
}

impl InputColumns {
    /// Finds the fields among `names`. The table must have every column of the schema but the target, and no other.
    ///
    /// # Errors
    /// With the columns that are absent or unknown.
    pub fn new(model: &LoadedModel, names: Vec<String>) -> Result<Self, String> {
        check_header(&names, model.predictor.preprocessor().schema(), TargetColumn::Optional)?;
        let place = |name: &str| names.iter().position(|known| known == name);
        let places = model.row_schema.fields.iter().map(|field| place(field.name())).collect();
        Ok(Self { names, header: Header { places } })
    }

    /// A row with the value of each column of the fields, by its index.
    pub fn row<'a>(&self, value: impl FnMut(usize) -> RawValue<'a>) -> Row<'a> {
        Row { values: self.header.values(value), errors: Vec::new() }
    }
}

/// The columns of the table of predictions for a table with the columns `names`.
///
/// # Errors
/// If the table has one of the added columns already.
pub fn output_columns(model: &LoadedModel, names: &[String], options: TableOptions) -> Result<OutputColumns, String> {
    let mut predictions = vec!["prediction".to_owned()];
    if options.intervals {
        predictions.extend(["prediction_low", "prediction_high"].map(String::from));
    }
    if options.contributions {
        predictions.push("base".into());
        predictions.extend(model.predictor.explained_columns().iter().map(|name| format!("contribution_{name}")));
    }
    let is_added = |name: &&String| *name == WARNINGS_COLUMN || predictions.contains(name);
    match names.iter().find(is_added) {
        Some(name) => Err(format!("already has a column \"{name}\"; rename it")),
        None => Ok(OutputColumns { input: names.to_vec(), predictions }),
    }
}
