//! Permutation importance of groups of features.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    estimator::{Regressor, matrix::Matrix, target_transform::TargetTransform},
    evaluation::metrics::Metrics,
};

/// Largest number of rows; the importance is a mean, which more rows hardly change.
const MAX_ROWS: usize = 1000;
/// Number of shuffles of each group.
const REPEATS: usize = 5;

/// The permutation importance of a group of features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Importance {
    /// Mean increase of the mean absolute error when the group is shuffled, in the target's unit.
    pub mean: f64,
    /// Standard deviation over the repeats.
    pub deviation: f64,
}

/// The permutation importance (Breiman, 2001) of each group of columns of `x`. The columns of a group are shuffled together, because
/// features of one raw column can replace each other. At most 1000 rows are used, evenly spaced; the result depends on the seed only.
pub fn permutation_importance(
    regressor: &Regressor,
    transform: TargetTransform,
    x: &Matrix,
    y_true: &[f64],
    groups: &[Vec<usize>],
    seed: u64,
) -> Vec<Importance> {
    let sampled_rows: Vec<usize> = (0..x.rows()).step_by(x.rows().div_ceil(MAX_ROWS).max(1)).collect();
    let (x, y_true): (Matrix, Vec<f64>) =
        (x.select_rows(&sampled_rows), sampled_rows.iter().map(|row| y_true[*row]).collect());
    let rows = sampled_rows.len();
    let error = |x: &Matrix| {
        let y_pred: Vec<f64> = regressor.predict(x).into_iter().map(|y| transform.inverse(y)).collect();
        Metrics::compute(&y_true, &y_pred).mae
    };
    let baseline = error(&x);
    let importance = |(place, group): (usize, &Vec<usize>)| {
        let increases: Vec<f64> = (0..REPEATS)
            .map(|repeat| {
                let mut order: Vec<usize> = (0..rows).collect();
                Rng::with_seed(seed ^ ((place * REPEATS + repeat) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
                    .shuffle(&mut order);
                error(&x.with_rows_shuffled(group, &order)) - baseline
            })
            .collect();
        let mean = increases.iter().sum::<f64>() / REPEATS as f64;
        let variance = increases.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (REPEATS - 1) as f64;
        Importance { mean, deviation: variance.sqrt() }
    };
    groups.par_iter().enumerate().map(importance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::linear::Linear;

    #[test]
    fn used_features_are_important_and_copies_count_together() {
        let mut rng = Rng::with_seed(3);
        let a: Vec<f64> = (0..400).map(|_| rng.f64()).collect();
        let b: Vec<f64> = (0..400).map(|_| rng.f64()).collect();
        let y: Vec<f64> = a.iter().map(|a| 10.0 * a).collect();
        // half of the effect comes from a copy of a
        let x = Matrix::new(vec![a.clone(), a, b]);
        let regressor = Regressor::Linear(Linear { intercept: 0.0, coefficients: vec![5.0, 5.0, 0.0] });
        let importance =
            |groups: &[Vec<usize>]| permutation_importance(&regressor, TargetTransform::None, &x, &y, groups, 1);
        let importances = importance(&[vec![0, 1], vec![2], vec![0]]);
        // |10 (u - v)| for uniform u and v is 10 / 3 on average
        assert!((importances[0].mean - 10.0 / 3.0).abs() < 0.2 && importances[0].deviation < 0.2, "{importances:?}");
        assert_eq!(importances[1], Importance { mean: 0.0, deviation: 0.0 });
        assert!(importances[2].mean < 0.6 * importances[0].mean);
        assert_eq!(importance(&[vec![0, 1]])[0], importances[0]);
    }
}
