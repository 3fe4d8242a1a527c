//! A model as stored, and as used.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    conformal::Conformal,
    estimator::{Regressor, matrix::Matrix, target_transform::TargetTransform},
};

/// What the file of a model is called in its envelope, and the version of [`ModelFile`].
pub const MODEL: (&str, u32) = ("model", 2);

/// A model as stored. Checked by [`Model::check`] before it can be used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ModelFile {
    /// The name under which it is known.
    pub name: String,
    /// The algorithm's name.
    pub algorithm: String,
    /// The column it predicts.
    pub target: String,
    /// What was done to the target before the fit.
    pub target_transform: TargetTransform,
    /// The features it takes, in order.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub features: Vec<String>,
    /// Hexadecimal SHA-256 of the preprocessor file that makes those features.
    pub preprocessor: String,
    /// The fingerprint of the raw table's schema.
    pub schema: String,
    /// The seed of the run.
    pub seed: u64,
    /// How many rows it was fitted on.
    pub train_rows: u64,
    /// The regressor.
    pub regressor: Regressor,
    /// The mean of each feature over training rows; empty where nobody knows.
    pub means: Vec<f64>,
    /// How far predictions may be off.
    pub interval: Option<Conformal>,
}

/// A stored model that does not hold together.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("the model does not hold together: {0}")]
pub struct ModelFault(pub String);

/// A checked model.
#[derive(Clone, Debug)]
pub struct Model {
    file: ModelFile,
}

impl Model {
    /// Checks a stored model: every index and number. The only way to a usable one.
    ///
    /// # Errors
    /// If a prediction could go wrong.
    pub fn check(file: ModelFile) -> Result<Self, ModelFault> {
        file.regressor.check(file.features.len()).map_err(ModelFault)?;
        let known = file.means.is_empty() || file.means.len() == file.features.len();
        if !known || !file.means.iter().all(|mean| mean.is_finite()) {
            return Err(ModelFault("the means of the features are not numbers".into()));
        }
        file.interval.as_ref().map_or(Ok(()), |interval| interval.check(file.features.len())).map_err(ModelFault)?;
        Ok(Self { file })
    }

    /// As stored.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// Predictions in the target's own unit. `features` has the columns of [`ModelFile::features`], in their order.
    ///
    /// # Panics
    /// If it has another number of columns: that is a mistake in the caller.
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        assert_eq!(features.width(), self.file.features.len(), "a model takes the features it was fitted on");
        let predictions = self.file.regressor.predict(features);
        predictions.into_iter().map(|y| self.file.target_transform.inverse(y)).collect()
    }

    /// The prediction for one row of features: the same bits as those of [`predict`](Self::predict).
    pub fn predict_row(&self, features: &[f64]) -> f64 {
        self.file.target_transform.inverse(self.file.regressor.predict_row(features))
    }
}
