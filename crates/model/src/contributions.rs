//! What each feature adds to a prediction, in the target's unit: the base and the parts of a row add up to its prediction.
//!
//! Exact for trees ([`Trees::contributions`](boosting::Trees::contributions)) and for linear functions, where a part is
//! `coefficient · (x − mean)`; drawn orders of features (Štrumbelj and Kononenko, 2014), every other one backwards, for kernels. Where a logarithm was predicted, a
//! part `p` of the sum `s` over the base `b` becomes `p · (eˢ − eᵇ) / (s − b)`, the logarithmic mean (Ang, 2004): parts keep their proportions
//! and their sum.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{Ensemble, Matrix, Model, Regressor, TargetTransform, regressor::Plain};

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

impl Model {
    /// Whether predictions can be taken apart.
    ///
    /// # Errors
    /// Says what the model does not know.
    pub fn check_explicable(&self) -> Result<(), String> {
        let file = self.file();
        let known = |regressor: &Plain| match regressor {
            Plain::Trees(ensemble) => ensemble.trees.check_explicable(),
            Plain::Linear(_) | Plain::Kernel(_) if file.means.len() != file.features.len() => {
                Err("it does not know the means of its features: it was trained by an older program".into())
            }
            Plain::Linear(_) | Plain::Kernel(_) => Ok(()),
        };
        match &file.regressor {
            Regressor::Blend(members) => members.iter().try_for_each(|member| known(&member.regressor)),
            single => known(&Plain::of(single.clone())?),
        }
    }

    /// The predictions for the rows of `features` in parts, in the target's unit. [`check_explicable`](Self::check_explicable) comes
    /// before.
    pub fn contributions(&self, features: &Matrix) -> Vec<Contributions> {
        let file = self.file();
        let explained: Vec<Contributions> = match &file.regressor {
            Regressor::Linear(linear) => explain(&Plain::Linear(linear.clone()), features, &file.means, file.seed),
            Regressor::Trees(ensemble) => of_trees(ensemble, features),
            Regressor::Kernel(kernel) => explain(&Plain::Kernel(kernel.clone()), features, &file.means, file.seed),
            Regressor::Blend(members) => {
                let nothing = Contributions { base: 0.0, parts: vec![0.0; features.width()] };
                let mut sums = vec![nothing; features.rows()];
                for member in members {
                    let parts = explain(&member.regressor, features, &file.means, file.seed);
                    for (sum, more) in sums.iter_mut().zip(parts) {
                        let more = more.undo(member.transform);
                        sum.base += member.weight * more.base;
                        sum.parts.iter_mut().zip(more.parts).for_each(|(sum, part)| *sum += member.weight * part);
                    }
                }
                sums
            }
        };
        explained.into_iter().map(|parts| parts.undo(file.target_transform)).collect()
    }
}

fn explain(regressor: &Plain, features: &Matrix, means: &[f64], seed: u64) -> Vec<Contributions> {
    match regressor {
        Plain::Trees(ensemble) => of_trees(ensemble, features),
        Plain::Linear(linear) => {
            let base = regressor.predict_row(means);
            let row = |row: usize| {
                let part =
                    |(place, coefficient): (usize, &f64)| coefficient * (features.columns()[place][row] - means[place]);
                Contributions { base, parts: linear.coefficients.iter().enumerate().map(part).collect() }
            };
            (0..features.rows()).map(row).collect()
        }
        Plain::Kernel(_) => {
            (0..features.rows()).into_par_iter().map(|row| drawn(regressor, features, row, means, seed)).collect()
        }
    }
}

fn of_trees(ensemble: &Ensemble, features: &Matrix) -> Vec<Contributions> {
    let base = ensemble.trees.expected(ensemble.sum());
    let parts = ensemble.trees.contributions(features.columns(), features.rows(), ensemble.sum());
    let whole = |parts| Contributions { base, parts };
    let link = |parts: Contributions| if ensemble.log_link { parts.exp() } else { parts };
    parts.into_iter().map(whole).map(link).collect()
}

/// One feature after the other takes the row's value in place of its mean; what that adds, over many orders.
fn drawn(regressor: &Plain, features: &Matrix, row: usize, means: &[f64], seed: u64) -> Contributions {
    let width = means.len();
    let mut rng = Rng::with_seed(seed);
    let mut parts = vec![0.0; width];
    let base = regressor.predict_row(means);
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
            cells[*feature] = features.columns()[*feature][row];
            let after = regressor.predict_row(&cells);
            parts[*feature] += (after - before) / ORDERS as f64;
            before = after;
        }
    }
    Contributions { base, parts }
}
