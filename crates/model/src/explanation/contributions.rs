//! What each feature adds to a prediction, in the target's unit: the base and the parts of a row add up to its prediction.
//!
//! Exact for trees ([`boosting::Explainer`]) and for linear functions, where a part is
//! `coefficient · (x − mean)`; drawn orders of features (Štrumbelj and Kononenko, 2014), every other one backwards, for kernels. Where a logarithm was predicted, a
//! part `p` of the sum `s` over the base `b` becomes `p · (eˢ − eᵇ) / (s − b)`, the logarithmic mean (Ang, 2004): parts keep their proportions
//! and their sum.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    estimator::{
        Ensemble, Plain, Regressor, linear::Linear, matrix::Matrix, svr::Kernel, target_transform::TargetTransform,
    },
    storage::model_file::Model,
};

/// Orders in which the features of a kernel are drawn.
const ORDERS: usize = 64;

/// A prediction in parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributions {
    /// What is predicted where nothing is known of the row.
    pub base: f64,
    /// What each feature adds to it.
    pub parts: Vec<f64>,
}

impl Contributions {
    /// The sum: the prediction.
    pub fn sum(&self) -> f64 {
        self.base + self.parts.iter().sum::<f64>()
    }

    /// From a logarithm to what it is of.
    fn exp(self) -> Self {
        let base = self.base.exp();
        let distance: f64 = self.parts.iter().sum();
        let mean = if distance.abs() < 1e-12 { base } else { base * distance.exp_m1() / distance };
        Self { base, parts: self.parts.into_iter().map(|part| part * mean).collect() }
    }

    fn undo(self, transform: TargetTransform) -> Self {
        match transform {
            TargetTransform::None => self,
            TargetTransform::Log => self.exp(),
        }
    }

    /// Parts of groups: each feature's is divided evenly among the groups that it belongs to; that of none goes to the base.
    #[must_use]
    pub fn grouped(&self, groups: usize, of: &[Vec<usize>]) -> Self {
        let mut parts = vec![0.0; groups];
        let mut base = self.base;
        for (part, belongs) in self.parts.iter().zip(of) {
            if belongs.is_empty() {
                base += part;
            }
            for group in belongs {
                parts[*group] += part / belongs.len() as f64;
            }
        }
        Self { base, parts }
    }
}

/// Predicts by one model and takes the predictions apart, row by row; what can be is worked out beforehand.
#[derive(Clone, Debug)]
pub struct Explainer {
    parts: Vec<Prepared>,
    difficulty: Option<boosting::QuickScorer>,
}

/// What is known of a part before a row comes: what it predicts where nothing is known, before its link, and more of trees.
#[derive(Clone, Debug)]
enum Prepared {
    Trees(f64, Box<boosting::Explainer>),
    Other(f64),
}

impl Explainer {
    /// Of a checked model.
    ///
    /// # Errors
    /// Says what the model does not know.
    pub fn new(model: &Model) -> Result<Self, String> {
        let file = model.file();
        let prepare = |part: PartOf| match part {
            PartOf::Trees(ensemble) => {
                ensemble.trees.check_explainable()?;
                Ok(Prepared::Trees(ensemble.trees.expected(ensemble.sum()), Box::new(ensemble.trees.explainer())))
            }
            PartOf::Linear(_) | PartOf::Kernel(_) if file.means.len() != file.features.len() => {
                Err("it does not know the means of its features: it was trained by an older program".into())
            }
            PartOf::Linear(linear) => Ok(Prepared::Other(linear.predict_row(&file.means))),
            PartOf::Kernel(kernel) => Ok(Prepared::Other(kernel.predict_row(&file.means))),
        };
        let parts = parts_of(&file.regressor).map(|(_, _, part)| prepare(part)).collect::<Result<_, String>>()?;
        let difficulty = file.interval.as_ref().and_then(|interval| interval.difficulty.as_ref());
        Ok(Self {
            parts,
            difficulty: difficulty.and_then(|difficulty| boosting::QuickScorer::from_trees(&difficulty.trees)),
        })
    }

    /// The prediction for a row of features, the same bits as those of [`Model::predict_row`], and its parts, in the target's unit.
    ///
    /// # Panics
    /// If `model` is not the one that it was made of, or the row too short: that is a mistake in the caller.
    pub fn explain(&self, model: &Model, row: &[f64]) -> (f64, Contributions) {
        let file = model.file();
        let alone = !matches!(file.regressor, Regressor::Blend(_));
        if let (true, Some((_, _, part)), Some(prepared)) = (alone, parts_of(&file.regressor).next(), self.parts.first()) {
            let (predicted, parts) = explain(part, prepared, row, &file.means, file.seed);
            return (file.target_transform.inverse(predicted), parts.undo(file.target_transform));
        }
        let mut prediction = 0.0;
        let mut sum = Contributions { base: 0.0, parts: vec![0.0; row.len()] };
        for ((weight, transform, part), prepared) in parts_of(&file.regressor).zip(&self.parts) {
            let (predicted, parts) = explain(part, prepared, row, &file.means, file.seed);
            prediction += weight * transform.inverse(predicted);
            let parts = parts.undo(transform);
            sum.base += weight * parts.base;
            sum.parts.iter_mut().zip(parts.parts).for_each(|(sum, part)| *sum += weight * part);
        }
        (file.target_transform.inverse(prediction), sum.undo(file.target_transform))
    }

    /// Predictions in the target's own unit: the same bits as those of [`Model::predict`].
    ///
    /// # Panics
    /// As [`explain`](Self::explain).
    pub fn predict(&self, model: &Model, features: &Matrix) -> Vec<f64> {
        let file = model.file();
        let (Regressor::Trees(ensemble), [Prepared::Trees(_, explainer)]) = (&file.regressor, self.parts.as_slice()) else {
            return model.predict(features);
        };
        let sums = explainer.predict(&ensemble.trees, features.columns(), features.rows(), ensemble.sum());
        sums.into_iter().map(|sum| file.target_transform.inverse(ensemble.link(sum))).collect()
    }

    /// The interval around the prediction for a row of features: the same bits as those of [`crate::conformal::Conformal::bounds_row`].
    ///
    /// # Panics
    /// As [`explain`](Self::explain).
    pub fn bounds(&self, model: &Model, row: &[f64], prediction: f64, coverage: f64) -> Option<(f64, f64)> {
        let interval = model.file().interval.as_ref()?;
        Some(match (&self.difficulty, &interval.difficulty) {
            (Some(quick), Some(difficulty)) => {
                let size = difficulty.link(quick.predict_row(&difficulty.trees, row, difficulty.sum()));
                interval.around(prediction, interval.ends(coverage), Some(size))
            }
            _ => interval.bounds_row(row, prediction, coverage),
        })
    }

    /// The predictions for the rows of `features` in parts, in the target's unit.
    pub fn explain_all(&self, model: &Model, features: &Matrix) -> Vec<Contributions> {
        let explain = |index| {
            let mut row = vec![0.0; features.width()];
            features.copy_row(index, &mut row);
            self.explain(model, &row).1
        };
        (0..features.rows()).into_par_iter().map(explain).collect()
    }
}

/// A regressor that is no blend.
#[derive(Clone, Copy)]
enum PartOf<'a> {
    Linear(&'a Linear),
    Trees(&'a Ensemble),
    Kernel(&'a Kernel),
}

/// The parts of a regressor, each with its weight and with what was done to the target before its fit alone.
fn parts_of(regressor: &Regressor) -> Box<dyn Iterator<Item = (f64, TargetTransform, PartOf<'_>)> + '_> {
    let alone = |part| Box::new(std::iter::once((1.0, TargetTransform::None, part)));
    match regressor {
        Regressor::Linear(linear) => alone(PartOf::Linear(linear)),
        Regressor::Trees(ensemble) => alone(PartOf::Trees(ensemble)),
        Regressor::Kernel(kernel) => alone(PartOf::Kernel(kernel)),
        Regressor::Blend(members) => Box::new(members.iter().map(|member| {
            let part = match &member.regressor {
                Plain::Linear(linear) => PartOf::Linear(linear),
                Plain::Trees(ensemble) => PartOf::Trees(ensemble),
                Plain::Kernel(kernel) => PartOf::Kernel(kernel),
            };
            (member.weight, member.transform, part)
        })),
    }
}

/// What a part predicts for a row, and that in parts.
fn explain(part: PartOf, prepared: &Prepared, row: &[f64], means: &[f64], seed: u64) -> (f64, Contributions) {
    match (part, prepared) {
        (PartOf::Trees(ensemble), Prepared::Trees(base, explainer)) => {
            let mut parts = vec![0.0; row.len()];
            let sum = explainer.explain(&ensemble.trees, row, ensemble.sum(), &mut parts);
            let parts = Contributions { base: *base, parts };
            (ensemble.link(sum), if ensemble.log_link { parts.exp() } else { parts })
        }
        (PartOf::Linear(linear), Prepared::Other(base)) => {
            let cells = linear.coefficients.iter().zip(row.iter().zip(means));
            let parts = cells.map(|(coefficient, (value, mean))| coefficient * (value - mean)).collect();
            (linear.predict_row(row), Contributions { base: *base, parts })
        }
        (PartOf::Kernel(kernel), Prepared::Other(base)) => (kernel.predict_row(row), drawn(kernel, *base, row, means, seed)),
        _ => unreachable!("an explainer is used with the model that it was made of"),
    }
}

/// One feature after the other takes the row's value in place of its mean; what that adds, over many orders.
fn drawn(kernel: &Kernel, base: f64, row: &[f64], means: &[f64], seed: u64) -> Contributions {
    let width = means.len();
    let mut rng = Rng::with_seed(seed);
    let mut parts = vec![0.0; width];
    let mut order: Vec<usize> = (0..width).collect();
    for index in 0..ORDERS {
        if index % 2 == 0 {
            rng.shuffle(&mut order);
        } else {
            order.reverse();
        }
        let mut cells = means.to_vec();
        let mut before = base;
        for feature in &order {
            cells[*feature] = row[*feature];
            let after = kernel.predict_row(&cells);
            parts[*feature] += (after - before) / ORDERS as f64;
            before = after;
        }
    }
    Contributions { base, parts }
}
