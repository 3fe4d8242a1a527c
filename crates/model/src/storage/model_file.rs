//! The stored form of a model, and the validated model.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    conformal::Conformal,
    estimator::{Regressor, matrix::Matrix, target_transform::TargetTransform},
};

/// Kind of a model file in its envelope, and the version of [`ModelFile`].
pub const MODEL: (&str, u32) = ("model", 2);

/// The stored form of a model. [`Model::from_file`] validates it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ModelFile {
    /// Name of the model.
    pub name: String,
    /// Name of the algorithm.
    pub algorithm: String,
    /// The target column.
    pub target: String,
    /// Transform of the target in the fit.
    pub target_transform: TargetTransform,
    /// The features, in order.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub features: Vec<String>,
    /// Hexadecimal SHA-256 of the preprocessor file.
    pub preprocessor: String,
    /// Fingerprint of the raw table's schema.
    pub schema: String,
    /// The seed of the run.
    pub seed: u64,
    /// Number of training rows.
    pub train_rows: u64,
    /// The regressor.
    pub regressor: Regressor,
    /// Mean of each feature over training rows; empty if not known.
    pub means: Vec<f64>,
    /// Prediction intervals, if fitted.
    pub interval: Option<Conformal>,
}

/// An invalid model file.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("the model is invalid: {0}")]
pub struct InvalidModel(pub String);

/// A validated model.
#[derive(Clone, Debug)]
pub struct Model {
    file: ModelFile,
}

impl Model {
    /// Validates all indices and numbers of a stored model.
    ///
    /// # Errors
    /// If an index, length or number is invalid.
    pub fn from_file(file: ModelFile) -> Result<Self, InvalidModel> {
        file.regressor.validate(file.features.len()).map_err(InvalidModel)?;
        let has_valid_length = file.means.is_empty() || file.means.len() == file.features.len();
        if !has_valid_length || !file.means.iter().all(|mean| mean.is_finite()) {
            return Err(InvalidModel("the means of the features are not numbers".into()));
        }
        file.interval.as_ref().map_or(Ok(()), |interval| interval.validate(file.features.len())).map_err(InvalidModel)?;
        Ok(Self { file })
    }

    /// The stored form.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// Predictions in the target's own unit. `features` has the columns of [`ModelFile::features`], in their order.
    ///
    /// # Panics
    /// If the number of columns differs (a mistake of the caller).
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        assert_eq!(features.width(), self.file.features.len(), "the features must be those of the fit");
        let predictions = self.file.regressor.predict(features);
        predictions.into_iter().map(|y| self.file.target_transform.inverse(y)).collect()
    }

    /// The prediction for one row of features, with the same bits as [`predict`](Self::predict).
    pub fn predict_row(&self, features: &[f64]) -> f64 {
        self.file.target_transform.inverse(self.file.regressor.predict_row(features))
    }
}
