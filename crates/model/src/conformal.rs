//! Conformal prediction intervals from residuals of cross-validation.
//!
//! Residuals are scaled by an estimate of the error of similar rows (Papadopoulos, Gammerman and Vovk, 2008), so that easy rows get narrow
//! intervals. Quantiles are separate for each sign, so that skewed errors give skewed intervals. With predictions of cross-validation, this
//! is "CV+" of Barber et al. (2021) with one model instead of those of the folds.

use boosting::{BoostingParameters as Boosting, fit as boost};
use serde::{Deserialize, Serialize};

use crate::{
    estimator::{Ensemble, matrix::Matrix, target_transform::TargetTransform},
    evaluation::folds::folds,
};

/// Smallest number of rows for estimating the error of similar rows; with fewer, all rows have one scale.
const MIN_ROWS_FOR_DIFFICULTY: usize = 200;
/// Largest number of residuals in the file; of more residuals, quantiles are stored.
const MAX_RESIDUALS_STORED: usize = 1001;
/// Number of folds in which the scale of residuals is estimated out of fold.
const FOLDS: usize = 5;
/// Tolerance for rounding errors when residuals are counted.
const ROUNDING: f64 = 1e-9;

/// A fitted prediction interval.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Conformal {
    /// Transform of target and prediction before they are subtracted.
    pub transform: TargetTransform,
    /// Model of the logarithm of the error by features; `None` if all rows have one scale.
    pub difficulty: Option<Ensemble>,
    /// Scaled residuals, ascending: all of them, or 1001 quantiles.
    pub scores: Vec<f64>,
    /// The number of residuals.
    pub rows: u64,
}

impl Conformal {
    /// Fits an interval to rows and their out-of-fold predictions; `None` without finite residuals.
    pub fn fit(x: &Matrix, y_true: &[f64], y_pred: &[f64], transform: TargetTransform, seed: u64) -> Option<Self> {
        let residuals: Vec<f64> =
            y_true.iter().zip(y_pred).map(|(y, p)| transform.forward(*y) - transform.forward(*p)).collect();
        if residuals.is_empty() || !residuals.iter().all(|residual| residual.is_finite()) {
            return None;
        }
        let mean_residual = residuals.iter().map(|residual| residual.abs()).sum::<f64>() / residuals.len() as f64;
        let mut scores = residuals.clone();
        let mut difficulty = None;
        if residuals.len() >= MIN_ROWS_FOR_DIFFICULTY && mean_residual > 0.0 {
            // small residuals are limited, because their logarithms would dominate
            let log_residuals: Vec<f64> =
                residuals.iter().map(|residual| residual.abs().max(mean_residual / 20.0).ln()).collect();
            let fold = folds(x.rows(), FOLDS, seed);
            for held_out in 0..FOLDS {
                let (fold_rows, other_rows): (Vec<usize>, Vec<usize>) =
                    (0..x.rows()).partition(|row| fold[*row] == held_out);
                let other_log_residuals: Vec<f64> = other_rows.iter().map(|row| log_residuals[*row]).collect();
                let model = fit_difficulty(&x.select_rows(&other_rows), &other_log_residuals, seed)?;
                for (row, size) in fold_rows.iter().zip(model.predict(&x.select_rows(&fold_rows))) {
                    scores[*row] = residuals[*row] / size.exp();
                }
            }
            difficulty = Some(fit_difficulty(x, &log_residuals, seed)?);
        }
        scores.sort_by(f64::total_cmp);
        let rows = scores.len();
        if rows > MAX_RESIDUALS_STORED {
            scores = (0..MAX_RESIDUALS_STORED)
                .map(|index| scores[(index * (rows - 1) + (MAX_RESIDUALS_STORED - 1) / 2) / (MAX_RESIDUALS_STORED - 1)])
                .collect();
        }
        let interval = Self { transform, difficulty, scores, rows: rows as u64 };
        interval.validate(x.width()).is_ok().then_some(interval)
    }

    pub(crate) fn validate(&self, width: usize) -> Result<(), String> {
        if self.scores.is_empty() || !self.scores.iter().all(|score| score.is_finite()) || !self.scores.is_sorted() {
            return Err("the residuals of the interval are not in ascending order".into());
        }
        self.difficulty.as_ref().map_or(Ok(()), |difficulty| difficulty.validate(width))
    }

    /// True if there are enough residuals for this coverage. With fewer, the interval ends at the largest residuals.
    pub fn has_enough_residuals(&self, coverage: f64) -> bool {
        (self.rows + 1) as f64 * (1.0 - coverage) / 2.0 + ROUNDING >= 1.0
    }

    /// The interval with this coverage for each row, as (low, high) in the target's unit.
    pub fn bounds(&self, features: &Matrix, predictions: &[f64], coverage: f64) -> Vec<(f64, f64)> {
        let quantiles = self.quantiles(coverage);
        let log_residuals = self.difficulty.as_ref().map(|difficulty| difficulty.predict(features));
        let size = |row: usize| log_residuals.as_ref().map(|log_residuals| log_residuals[row]);
        predictions
            .iter()
            .enumerate()
            .map(|(row, prediction)| self.interval_around(*prediction, quantiles, size(row)))
            .collect()
    }

    /// The interval of one row, with the same bits as [`bounds`](Self::bounds).
    pub fn bounds_row(&self, features: &[f64], prediction: f64, coverage: f64) -> (f64, f64) {
        let size = self.difficulty.as_ref().map(|difficulty| difficulty.predict_row(features));
        self.interval_around(prediction, self.quantiles(coverage), size)
    }

    pub(crate) fn interval_around(&self, prediction: f64, (low, high): (f64, f64), size: Option<f64>) -> (f64, f64) {
        let unit = size.map_or(1.0, f64::exp);
        let middle = self.transform.forward(prediction);
        (self.transform.inverse(middle + low * unit), self.transform.inverse(middle + high * unit))
    }

    /// The two quantiles of scaled residuals, with the finite-sample correction.
    pub(crate) fn quantiles(&self, coverage: f64) -> (f64, f64) {
        let tail = (1.0 - coverage) / 2.0;
        let rows = self.rows as f64;
        let low = ((rows + 1.0) * tail).clamp(1.0, rows);
        let high = ((rows + 1.0) * (1.0 - tail)).clamp(1.0, rows);
        // ranks from 1 among all residuals, as positions in the stored ones, interpolated linearly
        let at = |rank: f64| {
            let place = (rank - 1.0) / (rows - 1.0).max(1.0) * (self.scores.len() - 1) as f64;
            let (below, above) = (self.scores[place.floor() as usize], self.scores[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        (at(low), at(high))
    }
}

/// Fits the logarithm of residuals with a small model, because they are mostly noise.
fn fit_difficulty(x: &Matrix, log_residuals: &[f64], seed: u64) -> Option<Ensemble> {
    let parameters = Boosting {
        iterations: 60,
        learning_rate: 0.05,
        max_leaves: Some(8),
        min_samples_leaf: (x.rows() / 50).max(20),
        seed,
        ..Boosting::default()
    };
    let fitted = boost(x.columns(), log_residuals, None, &parameters).ok()?;
    Some(Ensemble { base: fitted.base, factor: 1.0, log_link: false, trees: fitted.trees })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// A target with noise that grows with a, and its prediction.
    fn rows(rows: usize, seed: u64) -> (Matrix, Vec<f64>, Vec<f64>) {
        let mut rng = Rng::with_seed(seed);
        let a: Vec<f64> = (0..rows).map(|_| rng.f64()).collect();
        let noise = |rng: &mut Rng| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let y = a.iter().map(|a| 100.0 + (1.0 + 9.0 * a) * noise(&mut rng)).collect();
        (Matrix::new(vec![a]), y, vec![100.0; rows])
    }

    fn coverage_of(interval: &Conformal, x: &Matrix, y: &[f64], p: &[f64], keep: impl Fn(f64) -> bool) -> f64 {
        let bounds = interval.bounds(x, p, 0.9);
        let selected: Vec<usize> = (0..y.len()).filter(|row| keep(x.columns()[0][*row])).collect();
        selected.iter().filter(|row| bounds[**row].0 <= y[**row] && y[**row] <= bounds[**row].1).count() as f64
            / selected.len() as f64
    }

    #[test]
    fn coverage_holds_for_easy_and_hard_rows() {
        let (x, y, p) = rows(4000, 1);
        let interval = Conformal::fit(&x, &y, &p, TargetTransform::None, 1).unwrap();
        assert_eq!((interval.scores.len(), interval.rows), (MAX_RESIDUALS_STORED, 4000));
        let (x, y, p) = rows(4000, 2);
        for (low, high) in [(0.0, 1.0), (0.0, 0.2), (0.8, 1.0)] {
            let share = coverage_of(&interval, &x, &y, &p, |a| a >= low && a <= high);
            assert!((0.86..0.94).contains(&share), "{low} to {high}: {share}");
        }
    }

    #[test]
    fn few_residuals_are_exact_and_insufficient_ones_are_detected() {
        let x = Matrix::new(vec![vec![0.0; 39]]);
        let y: Vec<f64> = (1..=39).map(f64::from).collect();
        let interval = Conformal::fit(&x, &y, &[0.0; 39], TargetTransform::None, 1).unwrap();
        // the 2nd and the 38th of 39 residuals leave 5 % on each side for the 40th
        let (low, high) = interval.bounds(&Matrix::new(vec![vec![0.0]]), &[100.0], 0.9)[0];
        assert!((low - 102.0).abs() < 1e-9 && (high - 138.0).abs() < 1e-9, "{low} {high}");
        assert!(
            interval.has_enough_residuals(0.9)
                && interval.has_enough_residuals(0.95)
                && !interval.has_enough_residuals(0.96)
        );
        assert_eq!(Conformal::fit(&x, &y, &[f64::NAN; 39], TargetTransform::None, 1), None);
    }

    #[test]
    fn bounds_of_a_log_target_are_above_zero() {
        let mut rng = Rng::with_seed(4);
        let y: Vec<f64> = (0..100).map(|_| (rng.f64() * 4.0).exp()).collect();
        let x = Matrix::new(vec![vec![0.0; 100]]);
        let interval = Conformal::fit(&x, &y, &[7.0; 100], TargetTransform::Log, 1).unwrap();
        let bounds = interval.bounds(&x, &[7.0; 100], 0.9);
        assert!(bounds[0].0 > 0.0 && bounds[0].1 > bounds[0].0);
    }
}
