//! Chooses the parts of a blend, and says whether it is better than its best part.

use crate::evaluation::folds::folds;

/// Parts that are added one after the other, at most; the same may be added again.
const STEPS: usize = 20;
/// Folds over which the choice itself is judged.
const FOLDS: usize = 5;

/// What two predictions of the same rows differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain {
    /// The mean by which the error falls.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

impl Gain {
    /// The mean absolute error of `first` less that of `second`, row by row. Rows that stand there `copies` times, one copy behind the
    /// other, count once.
    pub fn of(y_true: &[f64], first: &[f64], second: &[f64], copies: usize) -> Self {
        let rows = y_true.len() / copies.max(1);
        let error = |row: usize, of: &[f64]| (y_true[row] - of[row]).abs();
        let fall = |row: usize| {
            let each = (0..copies).map(|copy| copy * rows + row).map(|row| error(row, first) - error(row, second));
            each.sum::<f64>() / copies as f64
        };
        let falls: Vec<f64> = (0..rows).map(fall).collect();
        let (mean, deviation) = crate::estimator::statistics::mean_and_deviation(&falls);
        Self { mean, error: deviation / (rows as f64).sqrt() }
    }

    /// Whether the error falls by more than chance would explain.
    pub fn is_real(self) -> bool {
        self.mean > self.error
    }
}

/// Weights of predictions that make the mean absolute error small (Caruana et al., 2004): the best one, then again and again whichever
/// helps most. They add up to 1.
pub fn greedy_weights(y_true: &[f64], predictions: &[Vec<f64>], rows: &[usize]) -> Vec<f64> {
    let mut counts = vec![0_usize; predictions.len()];
    let mut sums = vec![0.0; rows.len()];
    let mut best = (f64::INFINITY, counts.clone());
    for step in 1..=STEPS {
        let error = |one: &Vec<f64>| -> f64 {
            let each = rows.iter().zip(&sums).map(|(row, sum)| (y_true[*row] - (sum + one[*row]) / step as f64).abs());
            each.sum()
        };
        let errors: Vec<f64> = predictions.iter().map(error).collect();
        let Some(chosen) = (0..predictions.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b])) else { break };
        counts[chosen] += 1;
        sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += predictions[chosen][*row]);
        if errors[chosen] < best.0 * (1.0 - 1e-9) {
            best = (errors[chosen], counts.clone());
        }
    }
    let total: usize = best.1.iter().sum();
    best.1.iter().map(|count| *count as f64 / total.max(1) as f64).collect()
}

/// What the blend predicts for each row by weights that were chosen on other rows, so that it can be compared with its parts. Rows that
/// stand there `copies` times are held out together.
pub fn blended_held_out(y_true: &[f64], predictions: &[Vec<f64>], copies: usize, seed: u64) -> Vec<f64> {
    let rows = y_true.len() / copies.max(1);
    let fold = folds(rows, FOLDS.min(rows.max(1)), seed);
    let mut blended = vec![0.0; y_true.len()];
    for held_out in 0..FOLDS {
        let (inside, outside): (Vec<usize>, Vec<usize>) = (0..y_true.len()).partition(|row| fold[row % rows] == held_out);
        let weights = greedy_weights(y_true, predictions, &outside);
        for row in inside {
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
    fn errors_that_differ_are_averaged_away_and_a_bad_part_is_left_out() {
        let mut rng = Rng::with_seed(1);
        let y: Vec<f64> = (0..400).map(|_| 100.0 * rng.f64()).collect();
        let parts = [noisy(&y, 10.0, 2), noisy(&y, 10.0, 3), noisy(&y, 200.0, 4)];
        let rows: Vec<usize> = (0..400).collect();
        let weights = greedy_weights(&y, &parts, &rows);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(weights[0] > 0.3 && weights[1] > 0.3 && weights[2] < 0.06, "{weights:?}");
        let blended = blended_held_out(&y, &parts, 1, 1);
        assert!(Gain::of(&y, &parts[0], &blended, 1).is_real());
        // a copy adds nothing
        let copies = [parts[0].clone(), parts[0].clone()];
        assert!(!Gain::of(&y, &parts[0], &blended_held_out(&y, &copies, 1, 1), 1).is_real());
    }

    #[test]
    fn copies_of_rows_do_not_make_a_gain_surer() {
        let y = vec![0.0; 40];
        let mut rng = Rng::with_seed(5);
        let (a, b): (Vec<f64>, Vec<f64>) = (0..40).map(|_| (rng.f64(), rng.f64())).unzip();
        let once = Gain::of(&y, &a, &b, 1);
        let four = |of: &[f64]| of.repeat(4);
        let repeated = Gain::of(&four(&y), &four(&a), &four(&b), 4);
        assert!((once.mean - repeated.mean).abs() < 1e-12 && (once.error - repeated.error).abs() < 1e-12);
    }
}
