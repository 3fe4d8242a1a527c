//! One row at a time.

use features::{RowBuffers, RowError};
use model::{Contributions, Explainer};
use schema::CellValue as Cell;

use crate::Predictor;

/// What is used again from row to row.
#[derive(Clone, Debug, Default)]
pub struct Workbench {
    buffers: RowBuffers,
    made: Vec<f64>,
    features: Vec<f64>,
}

impl Workbench {
    /// The model's features of the row that was predicted last, in the model's order.
    pub fn features(&self) -> &[f64] {
        &self.features
    }
}

/// What is said of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The prediction, in the target's unit.
    pub value: f64,
    /// The interval around it, if the model has any.
    pub interval: Option<(f64, f64)>,
}

impl Predictor {
    /// Makes the model's features of one row: [`Workbench::features`]. `cells` are those of the preprocessor's columns, in their order.
    ///
    /// # Errors
    /// With the first cell that has a level unknown to schema and training, where that is refused.
    pub fn features_of_row(&self, cells: &[Cell], bench: &mut Workbench) -> Result<(), RowError> {
        self.preprocessor.transform_row(cells, &mut bench.buffers, &mut bench.made)?;
        bench.features.clear();
        bench.features.extend(self.selected.iter().map(|place| bench.made[*place]));
        Ok(())
    }

    /// Predicts one row: the same bits as those of [`predict`](Self::predict). The interval is to hold this share of targets.
    ///
    /// # Errors
    /// As [`features_of_row`](Self::features_of_row).
    pub fn predict_row(&self, cells: &[Cell], coverage: f64, bench: &mut Workbench) -> Result<Prediction, RowError> {
        self.features_of_row(cells, bench)?;
        let value = self.model.predict_row(&bench.features);
        let interval =
            self.model.file().interval.as_ref().map(|interval| interval.bounds_row(&bench.features, value, coverage));
        Ok(Prediction { value, interval })
    }

    /// Predicts one row, the same bits as those of [`predict_row`](Self::predict_row), and takes the prediction apart by raw columns.
    ///
    /// # Errors
    /// As [`features_of_row`](Self::features_of_row).
    pub fn explain_row(
        &self,
        explainer: &Explainer,
        cells: &[Cell],
        coverage: f64,
        bench: &mut Workbench,
    ) -> Result<(Prediction, Contributions), RowError> {
        self.features_of_row(cells, bench)?;
        let (value, parts) = explainer.explain(&self.model, &bench.features);
        let interval = explainer.bounds(&self.model, &bench.features, value, coverage);
        Ok((Prediction { value, interval }, self.of_columns(&parts)))
    }
}
