//! Prediction intervals whose coverage is promised by counting: conformal prediction from residuals of rows that were held out.
//!
//! Residuals are divided by how far rows like this one are usually missed (Papadopoulos, Gammerman and Vovk, 2008), so that easy rows get
//! narrow intervals; the quantiles of both signs are taken apart, so that skewed errors get skewed intervals. With predictions of
//! cross-validation it is the "CV+" of Barber et al. (2021) with one model in place of the folds'.

use boosting::{BoostingParameters as Boosting, fit as boost};
use serde::{Deserialize, Serialize};

use crate::{
    estimator::{Ensemble, matrix::Matrix, target_transform::TargetTransform},
    evaluation::folds::folds,
};

/// With fewer rows than this, every row is taken to be as difficult as the others.
const ROWS_FOR_DIFFICULTY: usize = 200;
/// Quantiles that are kept.
const KEPT: usize = 1001;
const FOLDS: usize = 5;
const ROUNDING: f64 = 1e-9;

/// How far predictions may be off.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Conformal {
    /// What is done to target and prediction before they are subtracted.
    pub transform: TargetTransform,
    /// The logarithm of how far rows are usually missed, by their features; without one it is the same for all.
    pub difficulty: Option<Ensemble>,
    /// Residuals in units of that, ascending: all of them, or a thousand quantiles.
    pub scores: Vec<f64>,
    /// How many residuals there were.
    pub rows: u64,
}

impl Conformal {
    /// Learns from rows and what was predicted for them by models that had not seen them; `None` without a residual.
    pub fn fit(x: &Matrix, y_true: &[f64], y_pred: &[f64], transform: TargetTransform, seed: u64) -> Option<Self> {
        let residuals: Vec<f64> =
            y_true.iter().zip(y_pred).map(|(y, p)| transform.forward(*y) - transform.forward(*p)).collect();
        if residuals.is_empty() || !residuals.iter().all(|residual| residual.is_finite()) {
            return None;
        }
        let usual = residuals.iter().map(|residual| residual.abs()).sum::<f64>() / residuals.len() as f64;
        let mut scores = residuals.clone();
        let mut difficulty = None;
        if residuals.len() >= ROWS_FOR_DIFFICULTY && usual > 0.0 {
            // the smallest ones say little: their logarithms would rule
            let sizes: Vec<f64> = residuals.iter().map(|residual| residual.abs().max(usual / 20.0).ln()).collect();
            let fold = folds(x.rows(), FOLDS, seed);
            for held_out in 0..FOLDS {
                let (inside, outside): (Vec<usize>, Vec<usize>) = (0..x.rows()).partition(|row| fold[*row] == held_out);
                let some: Vec<f64> = outside.iter().map(|row| sizes[*row]).collect();
                let model = learn(&x.select_rows(&outside), &some, seed)?;
                for (row, size) in inside.iter().zip(model.predict(&x.select_rows(&inside))) {
                    scores[*row] = residuals[*row] / size.exp();
                }
            }
            difficulty = Some(learn(x, &sizes, seed)?);
        }
        scores.sort_by(f64::total_cmp);
        let rows = scores.len();
        if rows > KEPT {
            scores = (0..KEPT).map(|index| scores[(index * (rows - 1) + (KEPT - 1) / 2) / (KEPT - 1)]).collect();
        }
        let found = Self { transform, difficulty, scores, rows: rows as u64 };
        found.check(x.width()).is_ok().then_some(found)
    }

    pub(crate) fn check(&self, width: usize) -> Result<(), String> {
        if self.scores.is_empty() || !self.scores.iter().all(|score| score.is_finite()) || !self.scores.is_sorted() {
            return Err("the residuals of the interval are not in order".into());
        }
        self.difficulty.as_ref().map_or(Ok(()), |difficulty| difficulty.check(width))
    }

    /// Whether there are residuals enough for this coverage; with fewer the interval ends at the farthest of them.
    pub fn reaches(&self, coverage: f64) -> bool {
        (self.rows + 1) as f64 * (1.0 - coverage) / 2.0 + ROUNDING >= 1.0
    }

    /// The interval that holds this share of targets, for every row.
    pub fn bounds(&self, features: &Matrix, predictions: &[f64], coverage: f64) -> Vec<(f64, f64)> {
        let ends = self.ends(coverage);
        let sizes = self.difficulty.as_ref().map(|difficulty| difficulty.predict(features));
        let size = |row: usize| sizes.as_ref().map(|sizes| sizes[row]);
        predictions.iter().enumerate().map(|(row, prediction)| self.around(*prediction, ends, size(row))).collect()
    }

    /// The interval of one row: the same bits as those of [`bounds`](Self::bounds).
    pub fn bounds_row(&self, features: &[f64], prediction: f64, coverage: f64) -> (f64, f64) {
        let size = self.difficulty.as_ref().map(|difficulty| difficulty.predict_row(features));
        self.around(prediction, self.ends(coverage), size)
    }

    pub(crate) fn around(&self, prediction: f64, (low, high): (f64, f64), size: Option<f64>) -> (f64, f64) {
        let unit = size.map_or(1.0, f64::exp);
        let middle = self.transform.forward(prediction);
        (self.transform.inverse(middle + low * unit), self.transform.inverse(middle + high * unit))
    }

    /// The two quantiles, with the correction for the row that is to come.
    pub(crate) fn ends(&self, coverage: f64) -> (f64, f64) {
        let tail = (1.0 - coverage) / 2.0;
        let rows = self.rows as f64;
        let low = ((rows + 1.0) * tail).clamp(1.0, rows);
        let high = ((rows + 1.0) * (1.0 - tail)).clamp(1.0, rows);
        // ranks from 1 among all residuals, as places among those that are kept; a rank between two lies between their scores
        let at = |rank: f64| {
            let place = (rank - 1.0) / (rows - 1.0).max(1.0) * (self.scores.len() - 1) as f64;
            let (below, above) = (self.scores[place.floor() as usize], self.scores[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        (at(low), at(high))
    }
}

/// Learns sizes of residuals: a small model, for they are noise for the most part.
fn learn(x: &Matrix, sizes: &[f64], seed: u64) -> Option<Ensemble> {
    let parameters = Boosting {
        iterations: 60,
        learning_rate: 0.05,
        max_leaves: Some(8),
        min_samples_leaf: (x.rows() / 50).max(20),
        seed,
        ..Boosting::default()
    };
    let fitted = boost(x.columns(), sizes, None, &parameters).ok()?;
    Some(Ensemble { base: fitted.base, factor: 1.0, log_link: false, trees: fitted.trees })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// A target that is hard to predict where a is large, and what was predicted for it.
    fn rows(rows: usize, seed: u64) -> (Matrix, Vec<f64>, Vec<f64>) {
        let mut rng = Rng::with_seed(seed);
        let a: Vec<f64> = (0..rows).map(|_| rng.f64()).collect();
        let noise = |rng: &mut Rng| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let y = a.iter().map(|a| 100.0 + (1.0 + 9.0 * a) * noise(&mut rng)).collect();
        (Matrix::new(vec![a]), y, vec![100.0; rows])
    }

    fn covered(found: &Conformal, x: &Matrix, y: &[f64], p: &[f64], keep: impl Fn(f64) -> bool) -> f64 {
        let bounds = found.bounds(x, p, 0.9);
        let kept: Vec<usize> = (0..y.len()).filter(|row| keep(x.columns()[0][*row])).collect();
        kept.iter().filter(|row| bounds[**row].0 <= y[**row] && y[**row] <= bounds[**row].1).count() as f64
            / kept.len() as f64
    }

    #[test]
    fn coverage_is_kept_for_easy_and_for_hard_rows() {
        let (x, y, p) = rows(4000, 1);
        let found = Conformal::fit(&x, &y, &p, TargetTransform::None, 1).unwrap();
        assert_eq!((found.scores.len(), found.rows), (KEPT, 4000));
        let (x, y, p) = rows(4000, 2);
        for (low, high) in [(0.0, 1.0), (0.0, 0.2), (0.8, 1.0)] {
            let share = covered(&found, &x, &y, &p, |a| a >= low && a <= high);
            assert!((0.86..0.94).contains(&share), "{low} to {high}: {share}");
        }
    }

    #[test]
    fn few_rows_are_counted_exactly_and_short_ones_are_known() {
        let x = Matrix::new(vec![vec![0.0; 39]]);
        let y: Vec<f64> = (1..=39).map(f64::from).collect();
        let found = Conformal::fit(&x, &y, &[0.0; 39], TargetTransform::None, 1).unwrap();
        // the 2nd of 39 and the 38th leave 5 % on each side for the 40th
        let (low, high) = found.bounds(&Matrix::new(vec![vec![0.0]]), &[100.0], 0.9)[0];
        assert!((low - 102.0).abs() < 1e-9 && (high - 138.0).abs() < 1e-9, "{low} {high}");
        assert!(found.reaches(0.9) && found.reaches(0.95) && !found.reaches(0.96));
        assert_eq!(Conformal::fit(&x, &y, &[f64::NAN; 39], TargetTransform::None, 1), None);
    }

    #[test]
    fn a_logarithm_keeps_bounds_above_zero() {
        let mut rng = Rng::with_seed(4);
        let y: Vec<f64> = (0..100).map(|_| (rng.f64() * 4.0).exp()).collect();
        let x = Matrix::new(vec![vec![0.0; 100]]);
        let found = Conformal::fit(&x, &y, &[7.0; 100], TargetTransform::Log, 1).unwrap();
        let bounds = found.bounds(&x, &[7.0; 100], 0.9);
        assert!(bounds[0].0 > 0.0 && bounds[0].1 > bounds[0].0);
    }
}
