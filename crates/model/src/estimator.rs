//! Fitted regressors.

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

use crate::estimator::{linear::Linear, matrix::Matrix, svr::Kernel, target_transform::TargetTransform};

/// Members of a blend at most.
const MEMBERS: usize = 64;

/// A fitted regressor: a closed set, so that the compiler lists what a new one must touch.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Regressor {
    /// `intercept + Σ coefficient · feature`.
    Linear(Linear),
    /// `(base + Σ tree) · factor`.
    Trees(Ensemble),
    /// A sum over support vectors.
    Kernel(Kernel),
    /// A weighted mean of others, in the target's unit.
    Blend(Vec<Member>),
}

/// Trees, boosted or averaged.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ensemble {
    /// What the outputs of the trees are added to.
    pub base: f64,
    /// What the sum is multiplied with: 1, or a share a tree for a mean.
    pub factor: f64,
    /// Whether the prediction is the exponential of that: a loss with a logarithmic link.
    pub log_link: bool,
    /// The trees; a learning rate is in their leaves.
    pub trees: Trees,
}

/// A part of a blend.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Member {
    /// Its share.
    pub weight: f64,
    /// What was done to the target before its fit.
    pub transform: TargetTransform,
    /// The member itself; no blend.
    pub regressor: Plain,
}

/// A regressor that is no blend, so that what is stored does not nest.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum Plain {
    /// As [`Regressor::Linear`].
    Linear(Linear),
    /// As [`Regressor::Trees`].
    Trees(Ensemble),
    /// As [`Regressor::Kernel`].
    Kernel(Kernel),
}

impl Plain {
    /// Takes a regressor for a member.
    ///
    /// # Errors
    /// If it is a blend itself.
    pub fn of(regressor: Regressor) -> Result<Self, String> {
        match regressor {
            Regressor::Linear(linear) => Ok(Self::Linear(linear)),
            Regressor::Trees(ensemble) => Ok(Self::Trees(ensemble)),
            Regressor::Kernel(kernel) => Ok(Self::Kernel(kernel)),
            Regressor::Blend(_) => Err("a blend cannot be a member of a blend".into()),
        }
    }

    fn check(&self, width: usize) -> Result<(), String> {
        match self {
            Self::Linear(linear) => linear.check(width),
            Self::Trees(ensemble) => ensemble.check(width),
            Self::Kernel(kernel) => kernel.check(width),
        }
    }

    /// The prediction for one row of features.
    pub fn predict_row(&self, row: &[f64]) -> f64 {
        match self {
            Self::Linear(linear) => linear.predict_row(row),
            Self::Trees(ensemble) => ensemble.predict_row(row),
            Self::Kernel(kernel) => kernel.predict_row(row),
        }
    }

    /// The predictions for the rows of `features`.
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        match self {
            Self::Linear(linear) => features.map_rows(|row| linear.predict_row(row)),
            Self::Trees(ensemble) => ensemble.predict(features),
            Self::Kernel(kernel) => features.map_rows(|row| kernel.predict_row(row)),
        }
    }
}

impl Ensemble {
    /// How the outputs of the trees become one number.
    pub fn sum(&self) -> EnsembleOutput {
        EnsembleOutput { base: self.base, factor: self.factor }
    }

    pub(crate) fn check(&self, width: usize) -> Result<(), String> {
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
    /// Checks that rows of `width` features can be predicted without a fault.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn check(&self, width: usize) -> Result<(), String> {
        match self {
            Self::Linear(linear) => linear.check(width),
            Self::Trees(ensemble) => ensemble.check(width),
            Self::Kernel(kernel) => kernel.check(width),
            Self::Blend(members) if members.is_empty() || members.len() > MEMBERS => {
                Err(format!("a blend of {} members", members.len()))
            }
            Self::Blend(members) => members.iter().try_for_each(|member| {
                if member.weight.is_finite() {
                    member.regressor.check(width)
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
            Self::Kernel(kernel) => kernel.predict_row(row),
            Self::Blend(members) => members
                .iter()
                .fold(0.0, |sum, member| sum + member.weight * member.transform.inverse(member.regressor.predict_row(row))),
        }
    }

    /// The predictions for the rows of `features`: the same bits as those of [`predict_row`](Self::predict_row).
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        match self {
            Self::Linear(linear) => features.map_rows(|row| linear.predict_row(row)),
            Self::Trees(ensemble) => ensemble.predict(features),
            Self::Kernel(kernel) => features.map_rows(|row| kernel.predict_row(row)),
            Self::Blend(members) => {
                let mut sums = vec![0.0; features.rows()];
                for member in members {
                    for (sum, predicted) in sums.iter_mut().zip(member.regressor.predict(features)) {
                        *sum += member.weight * member.transform.inverse(predicted);
                    }
                }
                sums
            }
        }
    }

    /// Whether it takes rows in which a feature is missing.
    pub fn takes_missing(&self) -> bool {
        match self {
            Self::Trees(_) => true,
            Self::Linear(_) | Self::Kernel(_) => false,
            Self::Blend(members) => members.iter().all(|member| matches!(member.regressor, Plain::Trees(_))),
        }
    }
}
