//! What a model owes to which of its inputs.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    estimator::{Regressor, matrix::Matrix, target_transform::TargetTransform},
    evaluation::metrics::Metrics,
};

/// Rows that are shuffled at most: the figure is a mean, and more rows hardly move it.
const ROWS: usize = 1000;
const REPEATS: usize = 5;

/// The permutation importance of a group of features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Importance {
    /// By how much the mean absolute error grows when the group is shuffled, in the target's unit: the mean over repeats.
    pub mean: f64,
    /// Its standard deviation over repeats.
    pub deviation: f64,
}

/// The permutation importance (Breiman, 2001) of every group of columns of `x`: those of a group are shuffled together, so that
/// features made of one raw column do not stand in for one another. Measured on a thousand rows at most, taken evenly; seeded.
pub fn permutation_importance(
    regressor: &Regressor,
    transform: TargetTransform,
    x: &Matrix,
    y_true: &[f64],
    groups: &[Vec<usize>],
    seed: u64,
) -> Vec<Importance> {
    let chosen: Vec<usize> = (0..x.rows()).step_by(x.rows().div_ceil(ROWS).max(1)).collect();
    let (x, y_true): (Matrix, Vec<f64>) = (x.select_rows(&chosen), chosen.iter().map(|row| y_true[*row]).collect());
    let rows = chosen.len();
    let error = |x: &Matrix| {
        let y_pred: Vec<f64> = regressor.predict(x).into_iter().map(|y| transform.inverse(y)).collect();
        Metrics::of(&y_true, &y_pred).mae
    };
    let whole = error(&x);
    let importance = |(place, group): (usize, &Vec<usize>)| {
        let grown: Vec<f64> = (0..REPEATS)
            .map(|repeat| {
                let mut order: Vec<usize> = (0..rows).collect();
                Rng::with_seed(seed ^ ((place * REPEATS + repeat) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
                    .shuffle(&mut order);
                error(&x.with_rows_shuffled(group, &order)) - whole
            })
            .collect();
        let mean = grown.iter().sum::<f64>() / REPEATS as f64;
        let variance = grown.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (REPEATS - 1) as f64;
        Importance { mean, deviation: variance.sqrt() }
    };
    groups.par_iter().enumerate().map(importance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::linear::Linear;

    #[test]
    fn what_is_used_counts_and_copies_count_together() {
        let mut rng = Rng::with_seed(3);
        let a: Vec<f64> = (0..400).map(|_| rng.f64()).collect();
        let b: Vec<f64> = (0..400).map(|_| rng.f64()).collect();
        let y: Vec<f64> = a.iter().map(|a| 10.0 * a).collect();
        // half of the effect goes through a copy of a
        let x = Matrix::new(vec![a.clone(), a, b]);
        let regressor = Regressor::Linear(Linear { intercept: 0.0, coefficients: vec![5.0, 5.0, 0.0] });
        let of = |groups: &[Vec<usize>]| permutation_importance(&regressor, TargetTransform::None, &x, &y, groups, 1);
        let found = of(&[vec![0, 1], vec![2], vec![0]]);
        // |10 (u - v)| for uniform u and v is 10 / 3 on average
        assert!((found[0].mean - 10.0 / 3.0).abs() < 0.2 && found[0].deviation < 0.2, "{found:?}");
        assert_eq!(found[1], Importance { mean: 0.0, deviation: 0.0 });
        assert!(found[2].mean < 0.6 * found[0].mean);
        assert_eq!(of(&[vec![0, 1]])[0], found[0]);
    }
}
