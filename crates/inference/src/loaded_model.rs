//! A model that is ready to predict rows: everything that can be computed before the first one.

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

use anyhow::ensure;
use drift::{Layout, Reference, Window};
use model::{Contributions, Explainer, Matrix};
use predictor::{LoadedParts, ModelInfo, Prediction, Predictor, Scratch};
use schema::CellValue;
use serde_json::Value;

use crate::{
    response_keys::ResponseKeys,
    row_schema::{RawValue, RowSchema},
    validation::{ErrorDetail, FieldError, FieldErrorKind, FieldWarning},
};

/// A model, its description, and a window of the last rows that it predicted.
#[derive(Debug)]
pub struct LoadedModel {
    /// The preprocessor and the model.
    pub predictor: Predictor,
    /// Computes contributions; or the reason why it cannot.
    pub explainer: Result<Explainer, String>,
    /// The fields of a row.
    pub row_schema: RowSchema,
    /// The distribution of the training rows, where it is known.
    pub reference: Option<Reference>,
    /// The description of the model.
    pub info: ModelInfo,
    /// The keys of answers.
    pub(crate) keys: ResponseKeys,
    drift: Option<(Layout, Mutex<Window>)>,
}

/// The prediction of one row.
#[derive(Debug)]
pub struct RowPrediction {
    /// The value in the unit of the target, and its interval.
    pub prediction: Prediction,
    /// The contributions of raw columns, where the model can be explained.
    pub contributions: Option<Contributions>,
    /// Warnings about the values of the row.
    pub warnings: Vec<FieldWarning>,
}

/// Drift of the last rows from the training rows.
#[derive(Debug)]
pub struct WindowDrift {
    /// Rows in the window.
    pub rows: u64,
    /// The population stability index of each column, from [`drift::MIN_ROWS`] rows on.
    pub columns: Vec<(String, Option<f64>)>,
    /// The population stability index of the predictions.
    pub prediction: Option<f64>,
}

impl LoadedModel {
    /// Prepares a model, and checks that it predicts and explains a typical row. `window` is the number of last rows that drift is computed
    /// on; `coverage` replaces the coverage of intervals that the model was trained for, a share between 0 and 1.
    ///
    /// # Errors
    /// If it does not predict the typical row, or differently on its two ways.
    pub fn new(parts: LoadedParts, window: u64, coverage: Option<f64>) -> anyhow::Result<Self> {
        let mut model = Self::for_tables(parts, coverage);
        let layout = model.reference.as_ref().map(Layout::new);
        model.drift = layout.map(|layout| {
            let window = Window::new(&layout, window);
            (layout, Mutex::new(window))
        });
        model.predict_typical_row()?;
        Ok(model)
    }

    /// Prepares a model that predicts tables only: it has no window of drift, and predicts no typical row. `coverage` as for
    /// [`new`](Self::new).
    pub fn for_tables(parts: LoadedParts, coverage: Option<f64>) -> Self {
        let LoadedParts { predictor, reference, mut info } = parts;
        info.coverage = coverage.unwrap_or(info.coverage);
        let row_schema = RowSchema::new(&predictor, reference.as_ref());
        let keys = ResponseKeys::new(&predictor.model().file().target, predictor.explained_columns(), &info.version);
        let explainer = predictor.explainer();
        Self { predictor, explainer, row_schema, reference, info, keys, drift: None }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.predictor.model().file().name
    }

    /// The column that it predicts.
    pub fn target(&self) -> &str {
        &self.predictor.model().file().target
    }

    /// A typical row: a value for each field.
    pub fn typical_row(&self) -> Vec<RawValue<'_>> {
        let raw = |value: &Value| match value {
            Value::Number(number) => RawValue::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => RawValue::Text(Cow::Owned(text.clone())),
            _ => RawValue::Null,
        };
        self.row_schema.fields.iter().map(|field| raw(&field.typical)).collect()
    }

    /// Predicts a typical row and checks its contributions.
    ///
    /// # Errors
    /// If the row is invalid, has no finite prediction, or its contributions do not add up to it.
    pub fn predict_typical_row(&self) -> anyhow::Result<Prediction> {
        let values = self.typical_row();
        let mut errors = Vec::new();
        let cells = self.row_schema.validate(&values, &self.predictor, ErrorDetail::Whole, &mut errors);
        ensure!(errors.is_empty(), "a typical row is invalid: {}", errors[0].text());
        let mut scratch = Scratch::default();
        let prediction = self.predictor.predict_row(&cells, self.info.coverage, &mut scratch)?;
        ensure!(prediction.value.is_finite(), "a typical row is predicted as {}", prediction.value);
        if let Ok(explainer) = &self.explainer {
            let (same, parts) = self.predictor.explain_row(explainer, &cells, self.info.coverage, &mut scratch)?;
            ensure!(same == prediction, "a typical row is predicted as {prediction:?} and as {same:?}");
            let sum = parts.sum();
            let near = (sum - prediction.value).abs() <= 1e-6 * prediction.value.abs().max(1.0);
            ensure!(near, "the contributions of a typical row add up to {sum}, not to {}", prediction.value);
        }
        Ok(prediction)
    }

    /// The prediction of a typical row as JSON, `null` where there is none.
    pub fn typical_prediction(&self) -> Value {
        self.predict_typical_row().map_or(Value::Null, |prediction| Value::from(prediction.value))
    }

    /// Predicts one row of validated cells, with its contributions where the model can be explained.
    ///
    /// # Errors
    /// If the model does not know a level of the row, or has no finite prediction for it.
    pub fn predict_row(&self, cells: &[CellValue], scratch: &mut Scratch) -> Result<RowPrediction, Vec<FieldError>> {
        let coverage = self.info.coverage;
        let predicted = match &self.explainer {
            Ok(explainer) => {
                let both = self.predictor.explain_row(explainer, cells, coverage, scratch);
                both.map(|(prediction, parts)| (prediction, Some(parts)))
            }
            Err(_) => self.predictor.predict_row(cells, coverage, scratch).map(|prediction| (prediction, None)),
        };
        let (prediction, contributions) = predicted.map_err(|unknown| {
            vec![FieldError::new(&unknown.column, FieldErrorKind::UnknownLevel, unknown.reason, Value::Null)]
        })?;
        if !prediction.value.is_finite() {
            return Err(vec![FieldError::no_prediction()]);
        }
        Ok(RowPrediction { prediction, contributions, warnings: self.row_schema.warnings(cells) })
    }

    /// Predicts many rows of validated cells, with their intervals if `intervals`. A row with a level that the model does not know has the
    /// value NaN.
    pub fn predict_many(&self, rows: &[Vec<CellValue>], intervals: bool) -> Vec<Prediction> {
        let (features, rejected) = self.features_of_many(rows);
        self.predict_features(&features, &rejected, intervals)
    }

    /// Predicts many rows as [`predict_many`](Self::predict_many) does, with the contributions of the raw columns. `explainer` is the model's.
    pub fn explain_many(
        &self,
        explainer: &Explainer,
        rows: &[Vec<CellValue>],
        intervals: bool,
    ) -> Vec<(Prediction, Contributions)> {
        let (features, rejected) = self.features_of_many(rows);
        let predictions = self.predict_features(&features, &rejected, intervals);
        let contributions = explainer.explain_all(self.predictor.model(), &features);
        predictions
            .into_iter()
            .zip(contributions.iter().map(|parts| self.predictor.contributions_by_column(parts)))
            .collect()
    }

    /// The features of rows; and for each row whether it has a level that the model does not know: its features are 0.
    fn features_of_many(&self, rows: &[Vec<CellValue>]) -> (Matrix, Vec<bool>) {
        let mut scratch = Scratch::default();
        let width = self.predictor.model().file().features.len();
        let mut columns = vec![Vec::with_capacity(rows.len()); width];
        let mut rejected = vec![false; rows.len()];
        for (row, cells) in rows.iter().enumerate() {
            rejected[row] = self.predictor.features_of_row(cells, &mut scratch).is_err();
            if rejected[row] {
                columns.iter_mut().for_each(|column| column.push(0.0));
            } else {
                columns.iter_mut().zip(scratch.features()).for_each(|(column, value)| column.push(*value));
            }
        }
        (Matrix::new(columns), rejected)
    }

    fn predict_features(&self, features: &Matrix, rejected: &[bool], intervals: bool) -> Vec<Prediction> {
        let model = self.predictor.model();
        let values = match &self.explainer {
            Ok(explainer) => explainer.predict(model, features),
            Err(_) => model.predict(features),
        };
        let interval = model.file().interval.as_ref().filter(|_| intervals);
        let bounds = interval.map(|interval| interval.bounds(features, &values, self.info.coverage));
        let prediction = |(row, value): (usize, f64)| Prediction {
            value: if rejected[row] { f64::NAN } else { value },
            interval: bounds.as_ref().map(|bounds| bounds[row]),
        };
        values.into_iter().enumerate().map(prediction).collect()
    }

    /// Adds a row and its prediction to the window of drift.
    pub fn count(&self, cells: &[CellValue], prediction: f64) {
        let Some((layout, window)) = &self.drift else { return };
        let mut bins = Vec::with_capacity(cells.len() + 1);
        self.row_schema.bins(cells, layout, &mut bins);
        bins.extend(layout.prediction_bin(prediction));
        window.lock().unwrap_or_else(PoisonError::into_inner).add(&bins);
    }

    /// Adds rows and their predictions to the window of drift.
    pub fn count_many<'a>(&self, rows: impl Iterator<Item = (&'a [CellValue<'a>], f64)>) {
        let Some((layout, window)) = &self.drift else { return };
        let (mut bins, mut ends) = (Vec::new(), Vec::new());
        for (cells, prediction) in rows {
            self.row_schema.bins(cells, layout, &mut bins);
            bins.extend(layout.prediction_bin(prediction));
            ends.push(bins.len());
        }
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        for end in ends {
            window.add(&bins[start..end]);
            start = end;
        }
    }

    /// The drift of the last rows from the training rows, where the distribution of those is known.
    pub fn drift(&self) -> Option<WindowDrift> {
        let (layout, window) = self.drift.as_ref()?;
        let window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.reference.iter().flat_map(|reference| &reference.columns).map(|column| column.name.clone());
        Some(WindowDrift {
            rows: window.rows(),
            columns: names.zip(window.columns(layout)).collect(),
            prediction: window.prediction(layout),
        })
    }
}
