//! Contributions of features to a prediction, in the target's unit. Base and contributions add up to the prediction.
//!
//! Contributions are exact for trees ([`boosting::TreeExplainer`]) and for linear functions (`coefficient · (x − mean)`). For support
//! vector machines they are sampled over orders of features (Štrumbelj and Kononenko, 2014), with every other order reversed. For a log
//! target, the contribution `p` to the sum `s` over the base `b` becomes `p · (eˢ − eᵇ) / (s − b)`, the logarithmic mean (Ang, 2004). This
//! preserves the proportions of the contributions and their sum.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    estimator::{
        BlendMemberModel, Ensemble, Regressor, linear::Linear, matrix::Matrix, svr::SvrModel,
        target_transform::TargetTransform,
    },
    storage::model_file::Model,
};

/// Number of sampled orders of features for a support vector machine.
const SAMPLED_ORDERS: usize = 64;

/// A base and one contribution per feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributions {
    /// The prediction without knowledge of the row.
    pub base: f64,
    /// Contribution of each feature.
    pub parts: Vec<f64>,
}

impl Contributions {
    /// The prediction: base plus contributions.
    pub fn sum(&self) -> f64 {
        self.base + self.parts.iter().sum::<f64>()
    }

    /// Converts contributions to a logarithm into contributions to its exponential.
    fn exp(self) -> Self {
        let base = self.base.exp();
        let distance: f64 = self.parts.iter().sum();
        let mean = if distance.abs() < 1e-12 { base } else { base * distance.exp_m1() / distance };
        Self { base, parts: self.parts.into_iter().map(|part| part * mean).collect() }
    }

    fn inverse_transform(self, transform: TargetTransform) -> Self {
        match transform {
            TargetTransform::None => self,
            TargetTransform::Log => self.exp(),
        }
    }

    /// Contributions of groups of features. The contribution of a feature is divided evenly among its groups; without a group it is added
    /// to the base.
    #[must_use]
    pub fn grouped(&self, groups: usize, groups_of_feature: &[Vec<usize>]) -> Self {
        let mut parts = vec![0.0; groups];
        let mut base = self.base;
        for (part, own_groups) in self.parts.iter().zip(groups_of_feature) {
            if own_groups.is_empty() {
                base += part;
            }
            for group in own_groups {
                parts[*group] += part / own_groups.len() as f64;
            }
        }
        Self { base, parts }
    }
}

/// Explains the predictions of one model row by row, with precomputed tables.
#[derive(Clone, Debug)]
pub struct Explainer {
    parts: Vec<PreparedPart>,
    difficulty: Option<boosting::QuickScorer>,
}

/// Precomputed values of a regressor: the base before its link, and tables of trees.
#[derive(Clone, Debug)]
enum PreparedPart {
    Trees(f64, Box<boosting::TreeExplainer>),
    Other(f64),
}

impl Explainer {
    /// The explainer of a model.
    ///
    /// # Errors
    /// If the model lacks row counts of trees or means of features.
    pub fn new(model: &Model) -> Result<Self, String> {
        let file = model.file();
        let prepare = |part: RegressorPart| match part {
            RegressorPart::Trees(ensemble) => {
                ensemble.trees.check_explainable()?;
                Ok(PreparedPart::Trees(ensemble.trees.expected(ensemble.sum()), Box::new(ensemble.trees.explainer())))
            }
            RegressorPart::Linear(_) | RegressorPart::Svr(_) if file.means.len() != file.features.len() => {
                Err("the model has no means of its features, because an older version trained it".into())
            }
            RegressorPart::Linear(linear) => Ok(PreparedPart::Other(linear.predict_row(&file.means))),
            RegressorPart::Svr(kernel) => Ok(PreparedPart::Other(kernel.predict_row(&file.means))),
        };
        let parts = regressor_parts(&file.regressor).map(|(_, _, part)| prepare(part)).collect::<Result<_, String>>()?;
        let difficulty = file.interval.as_ref().and_then(|interval| interval.difficulty.as_ref());
        Ok(Self {
            parts,
            difficulty: difficulty.and_then(|difficulty| boosting::QuickScorer::from_trees(&difficulty.trees)),
        })
    }

    /// The prediction for a row of features, with the same bits as [`Model::predict_row`], and its contributions, in the target's unit.
    ///
    /// # Panics
    /// If `model` is not the one that the explainer was built from, or the row is too short (a mistake of the caller).
    pub fn explain(&self, model: &Model, row: &[f64]) -> (f64, Contributions) {
        let file = model.file();
        let is_single = !matches!(file.regressor, Regressor::Blend(_));
        if let (true, Some((_, _, part)), Some(prepared)) =
            (is_single, regressor_parts(&file.regressor).next(), self.parts.first())
        {
            let (predicted, parts) = explain(part, prepared, row, &file.means, file.seed);
            return (file.target_transform.inverse(predicted), parts.inverse_transform(file.target_transform));
        }
        let mut prediction = 0.0;
        let mut sum = Contributions { base: 0.0, parts: vec![0.0; row.len()] };
        for ((weight, transform, part), prepared) in regressor_parts(&file.regressor).zip(&self.parts) {
            let (predicted, parts) = explain(part, prepared, row, &file.means, file.seed);
            prediction += weight * transform.inverse(predicted);
            let parts = parts.inverse_transform(transform);
            sum.base += weight * parts.base;
            sum.parts.iter_mut().zip(parts.parts).for_each(|(sum, part)| *sum += weight * part);
        }
        (file.target_transform.inverse(prediction), sum.inverse_transform(file.target_transform))
    }

    /// Predictions in the target's own unit, with the same bits as [`Model::predict`].
    ///
    /// # Panics
    /// As [`explain`](Self::explain).
    pub fn predict(&self, model: &Model, features: &Matrix) -> Vec<f64> {
        let file = model.file();
        let (Regressor::Trees(ensemble), [PreparedPart::Trees(_, explainer)]) = (&file.regressor, self.parts.as_slice())
        else {
            return model.predict(features);
        };
        let sums = explainer.predict(&ensemble.trees, features.columns(), features.rows(), ensemble.sum());
        sums.into_iter().map(|sum| file.target_transform.inverse(ensemble.link(sum))).collect()
    }

    /// The interval around the prediction for a row of features, with the same bits as [`crate::conformal::Conformal::bounds_row`].
    ///
    /// # Panics
    /// As [`explain`](Self::explain).
    pub fn bounds(&self, model: &Model, row: &[f64], prediction: f64, coverage: f64) -> Option<(f64, f64)> {
        let interval = model.file().interval.as_ref()?;
        Some(match (&self.difficulty, &interval.difficulty) {
            (Some(quick), Some(difficulty)) => {
                let size = difficulty.link(quick.predict_row(&difficulty.trees, row, difficulty.sum()));
                interval.interval_around(prediction, interval.quantiles(coverage), Some(size))
            }
            _ => interval.bounds_row(row, prediction, coverage),
        })
    }

    /// Contributions for each row of `features`, in the target's unit.
    pub fn explain_all(&self, model: &Model, features: &Matrix) -> Vec<Contributions> {
        let explain = |index| {
            let mut row = vec![0.0; features.width()];
            features.copy_row(index, &mut row);
            self.explain(model, &row).1
        };
        (0..features.rows()).into_par_iter().map(explain).collect()
    }
}

/// A regressor other than a blend.
#[derive(Clone, Copy)]
enum RegressorPart<'a> {
    Linear(&'a Linear),
    Trees(&'a Ensemble),
    Svr(&'a SvrModel),
}

/// The parts of a regressor, each with its weight and its own target transform.
fn regressor_parts(regressor: &Regressor) -> Box<dyn Iterator<Item = (f64, TargetTransform, RegressorPart<'_>)> + '_> {
    let single = |part| Box::new(std::iter::once((1.0, TargetTransform::None, part)));
    match regressor {
        Regressor::Linear(linear) => single(RegressorPart::Linear(linear)),
        Regressor::Trees(ensemble) => single(RegressorPart::Trees(ensemble)),
        Regressor::Svr(kernel) => single(RegressorPart::Svr(kernel)),
        Regressor::Blend(members) => Box::new(members.iter().map(|member| {
            let part = match &member.regressor {
                BlendMemberModel::Linear(linear) => RegressorPart::Linear(linear),
                BlendMemberModel::Trees(ensemble) => RegressorPart::Trees(ensemble),
                BlendMemberModel::Svr(kernel) => RegressorPart::Svr(kernel),
            };
            (member.weight, member.transform, part)
        })),
    }
}

/// The prediction of a part for a row, and its contributions.
fn explain(part: RegressorPart, prepared: &PreparedPart, row: &[f64], means: &[f64], seed: u64) -> (f64, Contributions) {
    match (part, prepared) {
        (RegressorPart::Trees(ensemble), PreparedPart::Trees(base, explainer)) => {
            let mut parts = vec![0.0; row.len()];
            let sum = explainer.explain(&ensemble.trees, row, ensemble.sum(), &mut parts);
            let parts = Contributions { base: *base, parts };
            (ensemble.link(sum), if ensemble.log_link { parts.exp() } else { parts })
        }
        (RegressorPart::Linear(linear), PreparedPart::Other(base)) => {
            let cells = linear.coefficients.iter().zip(row.iter().zip(means));
            let parts = cells.map(|(coefficient, (value, mean))| coefficient * (value - mean)).collect();
            (linear.predict_row(row), Contributions { base: *base, parts })
        }
        (RegressorPart::Svr(kernel), PreparedPart::Other(base)) => {
            (kernel.predict_row(row), sample_contributions(kernel, *base, row, means, seed))
        }
        _ => unreachable!("an explainer is used with the model that it was built from"),
    }
}

/// Replaces the means by the row's values, one feature after the other, over many orders; the contribution is the mean change.
fn sample_contributions(kernel: &SvrModel, base: f64, row: &[f64], means: &[f64], seed: u64) -> Contributions {
    let width = means.len();
    let mut rng = Rng::with_seed(seed);
    let mut parts = vec![0.0; width];
    let mut order: Vec<usize> = (0..width).collect();
    for index in 0..SAMPLED_ORDERS {
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
            parts[*feature] += (after - before) / SAMPLED_ORDERS as f64;
            before = after;
        }
    }
    Contributions { base, parts }
}
