//! Confidence intervals of metrics by the bootstrap.

use fastrand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::evaluation::metrics::{METRIC_NAMES, Metrics};

/// Largest number of resamples, for small tables.
const MAX_RESAMPLES: usize = 1000;
/// Smallest number of resamples, for large tables.
const MIN_RESAMPLES: usize = 200;
/// Largest number of rows that are drawn in total, which bounds the work.
const MAX_DRAWS: usize = 50_000_000;

/// A 95 % percentile interval of a metric.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct BootstrapInterval {
    /// Name of the metric.
    pub name: &'static str,
    /// The 2.5 % quantile over resamples.
    pub low: f64,
    /// The 97.5 % quantile over resamples.
    pub high: f64,
}

/// 95 % percentile intervals of all metrics over resamples of the rows with replacement (Efron, 1979). The result depends on the seed only,
/// not on threads. A resample in which a metric has no value is ignored for that metric.
pub fn bootstrap_intervals(y_true: &[f64], y_pred: &[f64], seed: u64) -> Vec<BootstrapInterval> {
    let rows = y_true.len();
    if rows == 0 {
        return Vec::new();
    }
    let resample = |scratch: &mut (Vec<usize>, Vec<f64>), index: usize| {
        draw(rows, seed, index, &mut scratch.0);
        Metrics::compute_for_rows(y_true, y_pred, &scratch.0, &mut scratch.1)
    };
    let resampled: Vec<Metrics> = (0..resamples(rows)).into_par_iter().map_init(Default::default, resample).collect();
    let interval = |index: usize| {
        let (low, high) = percentile_interval(resampled.iter().map(|metrics| metrics.named()[index].1).collect());
        BootstrapInterval { name: METRIC_NAMES[index], low, high }
    };
    (0..METRIC_NAMES.len()).map(interval).collect()
}

/// A metric of two models on the same rows, with the interval of its difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedComparison {
    /// Metric of the first model.
    pub first: f64,
    /// Metric of the second model.
    pub second: f64,
    /// The 2.5 % quantile of first minus second over resamples.
    pub low: f64,
    /// The 97.5 % quantile of first minus second over resamples.
    pub high: f64,
}

/// Compares the metric `name` of two models on the same rows. Both are computed on each resample, so that rows that are difficult for both
/// do not widen the interval. `None` for an unknown metric.
pub fn paired_bootstrap(name: &str, y_true: &[f64], first: &[f64], second: &[f64], seed: u64) -> Option<PairedComparison> {
    let place = METRIC_NAMES.iter().position(|known| *known == name)?;
    let rows = y_true.len();
    let metric = |predicted: &[f64]| Metrics::compute(y_true, predicted).named()[place].1;
    let difference = |scratch: &mut (Vec<usize>, Vec<f64>), index: usize| {
        draw(rows, seed, index, &mut scratch.0);
        let mut metric =
            |predicted| Metrics::compute_for_rows(y_true, predicted, &scratch.0, &mut scratch.1).named()[place].1;
        metric(first) - metric(second)
    };
    let resampled: Vec<f64> = (0..resamples(rows)).into_par_iter().map_init(Default::default, difference).collect();
    let (low, high) = percentile_interval(resampled);
    Some(PairedComparison { first: metric(first), second: metric(second), low, high })
}

/// Number of resamples of `rows` rows.
fn resamples(rows: usize) -> usize {
    (MAX_DRAWS / rows.max(1)).clamp(MIN_RESAMPLES, MAX_RESAMPLES)
}

/// Draws as many rows as there are, with replacement, from seed and index.
fn draw(rows: usize, seed: u64, index: usize, resampled: &mut Vec<usize>) {
    let mut rng = Rng::with_seed(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    resampled.clear();
    resampled.extend((0..rows).map(|_| rng.usize(..rows)));
}

/// The 2.5 % and 97.5 % quantiles of the finite values; NaN without any.
fn percentile_interval(mut values: Vec<f64>) -> (f64, f64) {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let at = |p: f64| values.get((p * (values.len().max(1) - 1) as f64).round() as usize).copied().unwrap_or(f64::NAN);
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_contain_the_metric_and_shrink_with_rows() {
        let width = |rows: usize| {
            let mut rng = Rng::with_seed(1);
            let y_true: Vec<f64> = (0..rows).map(|_| 100.0 + 50.0 * rng.f64()).collect();
            let y_pred: Vec<f64> = y_true.iter().map(|y| y + 10.0 * (rng.f64() - 0.5)).collect();
            let mae = Metrics::compute(&y_true, &y_pred).mae;
            let interval = bootstrap_intervals(&y_true, &y_pred, 7)[0];
            assert!(interval.low < mae && mae < interval.high);
            interval.high - interval.low
        };
        // four times the rows halve the width, up to the noise of the resamples
        let ratio = width(4000) / width(1000);
        assert!((0.4..0.62).contains(&ratio), "{ratio}");
    }

    #[test]
    fn rows_that_are_difficult_for_both_do_not_widen_the_interval() {
        let mut rng = Rng::with_seed(2);
        let y_true: Vec<f64> = (0..500).map(|_| 100.0 + 50.0 * rng.f64()).collect();
        let hard: Vec<f64> = (0..500).map(|_| 30.0 * rng.f64()).collect();
        let first: Vec<f64> = y_true.iter().zip(&hard).map(|(y, hard)| y + hard).collect();
        let second: Vec<f64> = y_true.iter().zip(&hard).map(|(y, hard)| y + hard + 1.0).collect();
        let comparison = paired_bootstrap("mae", &y_true, &first, &second, 7).unwrap();
        assert!((comparison.first - comparison.second + 1.0).abs() < 1e-9);
        assert!((comparison.low + 1.0).abs() < 1e-9 && (comparison.high + 1.0).abs() < 1e-9, "{comparison:?}");
        assert_eq!(paired_bootstrap("speed", &y_true, &first, &second, 7), None);
    }
}
