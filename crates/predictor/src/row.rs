//! Predicts one row at a time.

use features::{RowBuffers, RowError};
use model::{Contributions, Explainer};
use schema::CellValue;

use crate::Predictor;

/// Buffers that are reused from row to row.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    buffers: RowBuffers,
    all_features: Vec<f64>,
    features: Vec<f64>,
}

impl Scratch {
    /// The model's features of the last predicted row, in the model's order.
    pub fn features(&self) -> &[f64] {
        &self.features
    }
}

/// The prediction of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The prediction, in the target's unit.
    pub value: f64,
    /// The prediction interval, if the model has one.
    pub interval: Option<(f64, f64)>,
}

impl Predictor {
    /// Computes the model's features of one row: [`Scratch::features`]. `cells` are those of the preprocessor's columns, in their order.
    ///
    /// # Errors
    /// The first cell with a level that is unknown to schema and training, if those are rejected.
    pub fn features_of_row(&self, cells: &[CellValue], scratch: &mut Scratch) -> Result<(), RowError> {
        self.preprocessor.transform_row(cells, &mut scratch.buffers, &mut scratch.all_features)?;
        scratch.features.clear();
        scratch.features.extend(self.selected.iter().map(|place| scratch.all_features[*place]));
        Ok(())
    }

    /// Predicts one row, bit for bit like [`predict`](Self::predict), with an interval for `coverage`, a share between 0 and 1.
    ///
    /// # Errors
    /// Those of [`features_of_row`](Self::features_of_row).
    pub fn predict_row(&self, cells: &[CellValue], coverage: f64, scratch: &mut Scratch) -> Result<Prediction, RowError> {
        self.features_of_row(cells, scratch)?;
        let value = self.model.predict_row(&scratch.features);
        let interval =
            self.model.file().interval.as_ref().map(|interval| interval.bounds_row(&scratch.features, value, coverage));
        Ok(Prediction { value, interval })
    }

    /// Predicts one row, bit for bit like [`predict_row`](Self::predict_row), with the contributions of raw columns.
    ///
    /// # Errors
    /// Those of [`features_of_row`](Self::features_of_row).
    pub fn explain_row(
        &self,
        explainer: &Explainer,
        cells: &[CellValue],
        coverage: f64,
        scratch: &mut Scratch,
    ) -> Result<(Prediction, Contributions), RowError> {
        self.features_of_row(cells, scratch)?;
        let (value, parts) = explainer.explain(&self.model, &scratch.features);
        let interval = explainer.bounds(&self.model, &scratch.features, value, coverage);
        Ok((Prediction { value, interval }, self.contributions_by_column(&parts)))
    }
}
