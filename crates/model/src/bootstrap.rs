//! Intervals around metrics, by the bootstrap.

use fastrand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{METRIC_NAMES, Metrics};

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
    let resamples = (DRAWS / rows).clamp(FEWEST_RESAMPLES, RESAMPLES);
    let resample = |scratch: &mut (Vec<usize>, Vec<f64>), index: usize| {
        let mut rng = Rng::with_seed(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        scratch.0.clear();
        scratch.0.extend((0..rows).map(|_| rng.usize(..rows)));
        Metrics::of_rows(y_true, y_pred, &scratch.0, &mut scratch.1)
    };
    let drawn: Vec<Metrics> = (0..resamples).into_par_iter().map_init(Default::default, resample).collect();
    let interval = |index: usize| {
        let mut values: Vec<f64> =
            drawn.iter().map(|metrics| metrics.named()[index].1).filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |p: f64| values.get((p * (values.len().max(1) - 1) as f64).round() as usize).copied().unwrap_or(f64::NAN);
        BootstrapInterval { name: METRIC_NAMES[index], low: at(0.025), high: at(0.975) }
    };
    (0..METRIC_NAMES.len()).map(interval).collect()
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
}
