//! Fitted regressors.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Matrix, Trees};

/// Rows that one task predicts.
const ROWS_PER_TASK: usize = 4096;

/// A fitted regressor: a closed set, so that the compiler lists what a new one must touch.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Regressor {
    /// `intercept + Σ coefficient · feature`.
    Linear(Linear),
    /// `base + Σ tree`.
    Boosted {
        /// What is predicted without any tree: the mean of the training target.
        base: f64,
        /// The trees; the learning rate is in their leaves.
        trees: Trees,
    },
    /// The mean of the trees.
    Forest {
        /// The trees.
        trees: Trees,
    },
}

/// A linear function of the features as they stand in the feature file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Linear {
    /// What is predicted where every feature is 0.
    pub intercept: f64,
    /// What a unit more of each feature adds.
    pub coefficients: Vec<f64>,
}

impl Regressor {
    /// Checks that rows of `width` features can be predicted without a fault.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn check(&self, width: usize) -> Result<(), String> {
        match self {
            Self::Linear(linear) if linear.coefficients.len() != width => {
                Err(format!("{} coefficients for {width} features", linear.coefficients.len()))
            }
            Self::Linear(linear)
                if !linear.coefficients.iter().chain([&linear.intercept]).all(|value| value.is_finite()) =>
            {
                Err("a coefficient is not a number".into())
            }
            Self::Linear(_) => Ok(()),
            Self::Boosted { base, .. } if !base.is_finite() => Err("the base score is not a number".into()),
            Self::Forest { trees } if trees.is_empty() => Err("a forest without trees".into()),
            Self::Boosted { trees, .. } | Self::Forest { trees } => trees.check(width),
        }
    }

    /// The prediction for one row of features.
    pub fn predict_row(&self, row: &[f64]) -> f64 {
        match self {
            Self::Linear(linear) => {
                linear.intercept
                    + linear.coefficients.iter().zip(row).map(|(coefficient, value)| coefficient * value).sum::<f64>()
            }
            Self::Boosted { base, trees } => trees.outputs(row).fold(*base, |sum, output| sum + output),
            Self::Forest { trees } => trees.outputs(row).sum::<f64>() / trees.len() as f64,
        }
    }

    /// The predictions for the rows of `features`.
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        let mut predictions = vec![0.0; features.rows()];
        predictions.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, chunk)| {
            let mut row = vec![0.0; features.width()];
            for (offset, prediction) in chunk.iter_mut().enumerate() {
                features.copy_row(task * ROWS_PER_TASK + offset, &mut row);
                *prediction = self.predict_row(&row);
            }
        });
        predictions
    }
}
