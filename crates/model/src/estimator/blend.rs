//! Weights of a blend, and its gain over its best part.

use crate::evaluation::folds::folds;

/// Largest number of additions of a part; a part can be added repeatedly.
const MAX_ADDITIONS: usize = 20;
/// Number of folds for out-of-fold predictions of the blend.
const FOLDS: usize = 5;

/// The difference of the errors of two predictions of the same rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlendGain {
    /// Mean reduction of the absolute error, in the target's unit.
    pub mean: f64,
    /// Standard error of the mean.
    pub error: f64,
}

impl BlendGain {
    /// The mean absolute error of `first` minus that of `second`. If the rows are repeated `copies` times, one copy after the other, each
    /// row counts once.
    pub fn compute(y_true: &[f64], first: &[f64], second: &[f64], copies: usize) -> Self {
        let rows = y_true.len() / copies.max(1);
        let error = |row: usize, predictions: &[f64]| (y_true[row] - predictions[row]).abs();
        let fall = |row: usize| {
            let each = (0..copies).map(|copy| copy * rows + row).map(|row| error(row, first) - error(row, second));
            each.sum::<f64>() / copies as f64
        };
        let falls: Vec<f64> = (0..rows).map(fall).collect();
        let (mean, deviation) = crate::estimator::statistics::mean_and_deviation(&falls);
        Self { mean, error: deviation / (rows as f64).sqrt() }
    }

    /// True if the mean reduction exceeds its standard error.
    pub fn is_significant(self) -> bool {
        self.mean > self.error
    }
}

/// Weights of predictions that minimise the mean absolute error on `rows` (greedy ensemble selection, Caruana et al., 2004). They add up to
/// 1.
pub fn greedy_weights(y_true: &[f64], predictions: &[Vec<f64>], rows: &[usize]) -> Vec<f64> {
    let mut counts = vec![0_usize; predictions.len()];
    let mut sums = vec![0.0; rows.len()];
    let mut best = (f64::INFINITY, counts.clone());
    for step in 1..=MAX_ADDITIONS {
        let error = |one: &Vec<f64>| -> f64 {
            let each = rows.iter().zip(&sums).map(|(row, sum)| (y_true[*row] - (sum + one[*row]) / step as f64).abs());
            each.sum()
        };
        let errors: Vec<f64> = predictions.iter().map(error).collect();
        let Some(selected) = (0..predictions.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b])) else { break };
        counts[selected] += 1;
        sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += predictions[selected][*row]);
        if errors[selected] < best.0 * (1.0 - 1e-9) {
            best = (errors[selected], counts.clone());
        }
    }
    let total: usize = best.1.iter().sum();
    best.1.iter().map(|count| *count as f64 / total.max(1) as f64).collect()
}

/// Out-of-fold predictions of the blend, with weights chosen on the other folds. Copies of a row are in one fold.
pub fn out_of_fold_blend(y_true: &[f64], predictions: &[Vec<f64>], copies: usize, seed: u64) -> Vec<f64> {
    let rows = y_true.len() / copies.max(1);
    let fold = folds(rows, FOLDS.min(rows.max(1)), seed);
    let mut blended = vec![0.0; y_true.len()];
    for held_out in 0..FOLDS {
        let (fold_rows, other_rows): (Vec<usize>, Vec<usize>) =
            (0..y_true.len()).partition(|row| fold[row % rows] == held_out);
        let weights = greedy_weights(y_true, predictions, &other_rows);
        for row in fold_rows {
            blended[row] = weights.iter().zip(predictions).map(|(weight, one)| weight * one[row]).sum();
        }
    }
    blended
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn noisy(y: &[f64], noise: f64, seed: u64) -> Vec<f64> {
        let mut rng = Rng::with_seed(seed);
        y.iter().map(|y| y + noise * (rng.f64() + rng.f64() - 1.0)).collect()
    }

    #[test]
    fn independent_errors_cancel_and_a_bad_part_gets_little_weight() {
        let mut rng = Rng::with_seed(1);
        let y: Vec<f64> = (0..400).map(|_| 100.0 * rng.f64()).collect();
        let parts = [noisy(&y, 10.0, 2), noisy(&y, 10.0, 3), noisy(&y, 200.0, 4)];
        let rows: Vec<usize> = (0..400).collect();
        let weights = greedy_weights(&y, &parts, &rows);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(weights[0] > 0.3 && weights[1] > 0.3 && weights[2] < 0.06, "{weights:?}");
        let blended = out_of_fold_blend(&y, &parts, 1, 1);
        assert!(BlendGain::compute(&y, &parts[0], &blended, 1).is_significant());
        // a copy of the best part adds nothing
        let copies = [parts[0].clone(), parts[0].clone()];
        assert!(!BlendGain::compute(&y, &parts[0], &out_of_fold_blend(&y, &copies, 1, 1), 1).is_significant());
    }

    #[test]
    fn copies_of_rows_do_not_change_the_standard_error() {
        let y = vec![0.0; 40];
        let mut rng = Rng::with_seed(5);
        let (a, b): (Vec<f64>, Vec<f64>) = (0..40).map(|_| (rng.f64(), rng.f64())).unzip();
        let once = BlendGain::compute(&y, &a, &b, 1);
        let four = |values: &[f64]| values.repeat(4);
        let repeated = BlendGain::compute(&four(&y), &four(&a), &four(&b), 4);
        assert!((once.mean - repeated.mean).abs() < 1e-12 && (once.error - repeated.error).abs() < 1e-12);
    }
}
