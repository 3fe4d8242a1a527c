//! Intervals around metrics, by the bootstrap.

use fastrand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::evaluation::metrics::{METRIC_NAMES, Metrics};

/// Resamples where rows are few.
const RESAMPLES: usize = 1000;
/// Resamples are fewer where rows are many, down to this, so that the work stays bounded.
const FEWEST_RESAMPLES: usize = 200;
const DRAWS: usize = 50_000_000;

/// A percentile interval.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct BootstrapInterval {
    /// The metric.
    pub name: &'static str,
    /// The 2.5 % quantile over resamples.
    pub low: f64,
    /// The 97.5 % quantile over resamples.
    pub high: f64,
}

/// 95 % percentile intervals of every metric over resamples of the rows with replacement (Efron, 1979). The same for the same
/// seed at any number of threads. A metric without a value in a resample leaves that resample out.
pub fn bootstrap_intervals(y_true: &[f64], y_pred: &[f64], seed: u64) -> Vec<BootstrapInterval> {
    let rows = y_true.len();
    if rows == 0 {
        return Vec::new();
    }
    let resample = |scratch: &mut (Vec<usize>, Vec<f64>), index: usize| {
        draw(rows, seed, index, &mut scratch.0);
        Metrics::of_rows(y_true, y_pred, &scratch.0, &mut scratch.1)
    };
    let drawn: Vec<Metrics> = (0..resamples(rows)).into_par_iter().map_init(Default::default, resample).collect();
    let interval = |index: usize| {
        let (low, high) = middle(drawn.iter().map(|metrics| metrics.named()[index].1).collect());
        BootstrapInterval { name: METRIC_NAMES[index], low, high }
    };
    (0..METRIC_NAMES.len()).map(interval).collect()
}

/// A metric of two models on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Of the first.
    pub first: f64,
    /// Of the second.
    pub second: f64,
    /// The 2.5 % quantile of first minus second over resamples.
    pub low: f64,
    /// The 97.5 % quantile of first minus second over resamples.
    pub high: f64,
}

/// The metric called `name` of two models on the same rows, and a 95 % percentile interval of the difference: both are measured on
/// every resample, so that rows that are hard for both do not widen it. `None` if there is no such metric.
pub fn paired_bootstrap(name: &str, y_true: &[f64], first: &[f64], second: &[f64], seed: u64) -> Option<Paired> {
    let place = METRIC_NAMES.iter().position(|known| *known == name)?;
    let rows = y_true.len();
    let of = |predicted: &[f64]| Metrics::of(y_true, predicted).named()[place].1;
    let difference = |scratch: &mut (Vec<usize>, Vec<f64>), index: usize| {
        draw(rows, seed, index, &mut scratch.0);
        let mut of = |predicted| Metrics::of_rows(y_true, predicted, &scratch.0, &mut scratch.1).named()[place].1;
        of(first) - of(second)
    };
    let drawn: Vec<f64> = (0..resamples(rows)).into_par_iter().map_init(Default::default, difference).collect();
    let (low, high) = middle(drawn);
    Some(Paired { first: of(first), second: of(second), low, high })
}

/// How often `rows` rows are drawn.
fn resamples(rows: usize) -> usize {
    (DRAWS / rows.max(1)).clamp(FEWEST_RESAMPLES, RESAMPLES)
}

/// Draws as many rows as there are, with replacement: the same for the same seed and index.
fn draw(rows: usize, seed: u64, index: usize, drawn: &mut Vec<usize>) {
    let mut rng = Rng::with_seed(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    drawn.clear();
    drawn.extend((0..rows).map(|_| rng.usize(..rows)));
}

/// The 2.5 % and 97.5 % quantiles of those that are numbers.
fn middle(mut values: Vec<f64>) -> (f64, f64) {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let at = |p: f64| values.get((p * (values.len().max(1) - 1) as f64).round() as usize).copied().unwrap_or(f64::NAN);
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_metric_and_shrink_with_rows() {
        let width = |rows: usize| {
            let mut rng = Rng::with_seed(1);
            let y_true: Vec<f64> = (0..rows).map(|_| 100.0 + 50.0 * rng.f64()).collect();
            let y_pred: Vec<f64> = y_true.iter().map(|y| y + 10.0 * (rng.f64() - 0.5)).collect();
            let mae = Metrics::of(&y_true, &y_pred).mae;
            let interval = bootstrap_intervals(&y_true, &y_pred, 7)[0];
            assert!(interval.low < mae && mae < interval.high);
            interval.high - interval.low
        };
        // four times the rows, half the width, give or take the noise of the resamples
        let ratio = width(4000) / width(1000);
        assert!((0.4..0.62).contains(&ratio), "{ratio}");
    }

    #[test]
    fn what_is_hard_for_both_does_not_widen_the_interval_of_the_difference() {
        let mut rng = Rng::with_seed(2);
        let y_true: Vec<f64> = (0..500).map(|_| 100.0 + 50.0 * rng.f64()).collect();
        let hard: Vec<f64> = (0..500).map(|_| 30.0 * rng.f64()).collect();
        let first: Vec<f64> = y_true.iter().zip(&hard).map(|(y, hard)| y + hard).collect();
        let second: Vec<f64> = y_true.iter().zip(&hard).map(|(y, hard)| y + hard + 1.0).collect();
        let found = paired_bootstrap("mae", &y_true, &first, &second, 7).unwrap();
        assert!((found.first - found.second + 1.0).abs() < 1e-9);
        assert!((found.low + 1.0).abs() < 1e-9 && (found.high + 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(paired_bootstrap("speed", &y_true, &first, &second, 7), None);
    }
}
