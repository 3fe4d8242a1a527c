//! Fitted regressors and their fit. The folder is used by `evaluation`, `explanation` and `storage`.

pub(crate) mod blend;
pub(crate) mod fit;
pub(crate) mod fit_error;
pub(crate) mod linear;
pub(crate) mod matrix;
pub(crate) mod statistics;
pub(crate) mod svr;
pub(crate) mod target_transform;

use crate::estimator::linear::Linear;
use boosting::{EnsembleOutput, Trees};
use serde::{Deserialize, Serialize};

use crate::estimator::{matrix::Matrix, svr::SvrModel, target_transform::TargetTransform};

/// Largest number of members of a blend.
const MAX_BLEND_MEMBERS: usize = 64;

/// A fitted regressor.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Regressor {
    /// `intercept + Σ coefficient · feature`.
    Linear(Linear),
    /// `(base + Σ tree) · factor`.
    Trees(Ensemble),
    /// A sum over support vectors.
    Svr(SvrModel),
    /// A weighted mean of other regressors, in the target's unit.
    Blend(Vec<BlendMember>),
}

/// Trees, boosted or averaged.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ensemble {
    /// Added to the outputs of the trees.
    pub base: f64,
    /// Factor of the sum: 1, or 1 / trees for a mean.
    pub factor: f64,
    /// True if the prediction is the exponential of the sum (a loss with a logarithmic link).
    pub log_link: bool,
    /// The trees; leaf values include the learning rate.
    pub trees: Trees,
}

/// A member of a blend.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BlendMember {
    /// Weight in the mean.
    pub weight: f64,
    /// Transform of the target in its fit.
    pub transform: TargetTransform,
    /// The regressor.
    pub regressor: BlendMemberModel,
}

/// A regressor other than a blend, so that stored data does not nest.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum BlendMemberModel {
    /// As [`Regressor::Linear`].
    Linear(Linear),
    /// As [`Regressor::Trees`].
    Trees(Ensemble),
    /// As [`Regressor::Svr`].
    Svr(SvrModel),
}

impl BlendMemberModel {
    /// Converts a regressor to a member of a blend.
    ///
    /// # Errors
    /// If the regressor is a blend.
    pub fn try_from_regressor(regressor: Regressor) -> Result<Self, String> {
        match regressor {
            Regressor::Linear(linear) => Ok(Self::Linear(linear)),
            Regressor::Trees(ensemble) => Ok(Self::Trees(ensemble)),
            Regressor::Svr(kernel) => Ok(Self::Svr(kernel)),
            Regressor::Blend(_) => Err("a blend cannot be a member of a blend".into()),
        }
    }

    fn validate(&self, width: usize) -> Result<(), String> {
        match self {
            Self::Linear(linear) => linear.validate(width),
            Self::Trees(ensemble) => ensemble.validate(width),
            Self::Svr(kernel) => kernel.validate(width),
        }
    }

    /// The prediction for one row of features.
    pub fn predict_row(&self, row: &[f64]) -> f64 {
        match self {
            Self::Linear(linear) => linear.predict_row(row),
            Self::Trees(ensemble) => ensemble.predict_row(row),
            Self::Svr(kernel) => kernel.predict_row(row),
        }
    }

    /// The predictions for the rows of `features`.
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        match self {
            Self::Linear(linear) => features.map_rows(|row| linear.predict_row(row)),
            Self::Trees(ensemble) => ensemble.predict(features),
            Self::Svr(kernel) => features.map_rows(|row| kernel.predict_row(row)),
        }
    }
}

impl Ensemble {
    /// Conversion of the outputs of the trees to one number.
    pub fn sum(&self) -> EnsembleOutput {
        EnsembleOutput { base: self.base, factor: self.factor }
    }

    pub(crate) fn validate(&self, width: usize) -> Result<(), String> {
        if !self.base.is_finite() || !self.factor.is_finite() {
            return Err("the base score is not a number".into());
        }
        self.trees.validate(width)
    }

    pub(crate) fn link(&self, sum: f64) -> f64 {
        if self.log_link { sum.exp() } else { sum }
    }

    pub(crate) fn predict_row(&self, row: &[f64]) -> f64 {
        self.link(self.trees.predict_row(row, self.sum()))
    }

    pub(crate) fn predict(&self, features: &Matrix) -> Vec<f64> {
        let mut predictions = self.trees.predict(features.columns(), features.rows(), self.sum());
        if self.log_link {
            predictions.iter_mut().for_each(|prediction| *prediction = prediction.exp());
        }
        predictions
    }
}

impl Regressor {
    /// Checks that rows of `width` features can be predicted.
    ///
    /// # Errors
    /// If a number or length is invalid; the message names it.
    pub fn validate(&self, width: usize) -> Result<(), String> {
        match self {
            Self::Linear(linear) => linear.validate(width),
            Self::Trees(ensemble) => ensemble.validate(width),
            Self::Svr(kernel) => kernel.validate(width),
            Self::Blend(members) if members.is_empty() || members.len() > MAX_BLEND_MEMBERS => {
                Err(format!("a blend must have 1 to {MAX_BLEND_MEMBERS} members, not {}", members.len()))
            }
            Self::Blend(members) => members.iter().try_for_each(|member| {
                if member.weight.is_finite() {
                    member.regressor.validate(width)
                } else {
                    Err("a weight of the blend is not a number".into())
                }
            }),
        }
    }

    /// The prediction for one row of features.
    pub fn predict_row(&self, row: &[f64]) -> f64 {
        match self {
            Self::Linear(linear) => linear.predict_row(row),
            Self::Trees(ensemble) => ensemble.predict_row(row),
            Self::Svr(kernel) => kernel.predict_row(row),
            Self::Blend(members) => members
                .iter()
                .fold(0.0, |sum, member| sum + member.weight * member.transform.inverse(member.regressor.predict_row(row))),
        }
    }

    /// The predictions for the rows of `features`, with the same bits as [`predict_row`](Self::predict_row).
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        match self {
            Self::Linear(linear) => features.map_rows(|row| linear.predict_row(row)),
            Self::Trees(ensemble) => ensemble.predict(features),
            Self::Svr(kernel) => features.map_rows(|row| kernel.predict_row(row)),
            Self::Blend(members) => {
                let mut sums = vec![0.0; features.rows()];
                for member in members {
                    for (sum, prediction) in sums.iter_mut().zip(member.regressor.predict(features)) {
                        *sum += member.weight * member.transform.inverse(prediction);
                    }
                }
                sums
            }
        }
    }

    /// True if rows may have missing features.
    pub fn accepts_missing(&self) -> bool {
        match self {
            Self::Trees(_) => true,
            Self::Linear(_) | Self::Svr(_) => false,
            Self::Blend(members) => members.iter().all(|member| matches!(member.regressor, BlendMemberModel::Trees(_))),
        }
    }
}
