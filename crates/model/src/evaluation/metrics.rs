//! Metrics of regression.

use serde::{Deserialize, Serialize};

use crate::estimator::statistics::median;

/// Names of the metrics, as they are logged.
pub const METRIC_NAMES: [&str; 5] = ["mae", "rmse", "r2", "mape", "median_ae"];

/// Metrics over rows. NaN where a metric has no value (R² of a constant target, MAPE of a target that is 0).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Metrics {
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Root of the mean squared error, in the target's unit.
    pub rmse: f64,
    /// Coefficient of determination: 1 − Σ(y − ŷ)² / Σ(y − ȳ)².
    pub r2: f64,
    /// Mean absolute percentage error, as a fraction: 0.1 is 10 %.
    pub mape: f64,
    /// Median absolute error, in the target's unit.
    pub median_ae: f64,
}

impl Metrics {
    /// Computes the metrics of `y_pred` against `y_true`.
    pub fn compute(y_true: &[f64], y_pred: &[f64]) -> Self {
        let rows: Vec<usize> = (0..y_true.len()).collect();
        Self::compute_for_rows(y_true, y_pred, &rows, &mut Vec::new())
    }

    /// Computes the metrics of selected rows, which can repeat; `scratch` avoids an allocation.
    pub(crate) fn compute_for_rows(y_true: &[f64], y_pred: &[f64], rows: &[usize], scratch: &mut Vec<f64>) -> Self {
        let n = rows.len() as f64;
        scratch.clear();
        let (mut absolute, mut squared, mut relative, mut sum) = (0.0, 0.0, 0.0, 0.0);
        for row in rows {
            let error = (y_true[*row] - y_pred[*row]).abs();
            absolute += error;
            squared += error * error;
            relative += error / y_true[*row].abs();
            sum += y_true[*row];
            scratch.push(error);
        }
        let mean = sum / n;
        let total: f64 = rows.iter().map(|row| (y_true[*row] - mean).powi(2)).sum();
        let finite = |value: f64| if value.is_finite() { value } else { f64::NAN };
        Self {
            mae: finite(absolute / n),
            rmse: finite((squared / n).sqrt()),
            r2: finite(1.0 - squared / total),
            mape: finite(relative / n),
            median_ae: median(scratch),
        }
    }

    /// Name and value of each metric, in the order of [`METRIC_NAMES`].
    pub fn named(&self) -> [(&'static str, f64); 5] {
        let values = [self.mae, self.rmse, self.r2, self.mape, self.median_ae];
        std::array::from_fn(|index| (METRIC_NAMES[index], values[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1, sklearn.metrics on these lists: mean_absolute_error 0.5, mean_squared_error 0.375, r2_score
        // 0.9486081370449679, mean_absolute_percentage_error 0.3273809523809524, median_absolute_error 0.5
        let metrics = Metrics::compute(&[3.0, -0.5, 2.0, 7.0], &[2.5, 0.0, 2.0, 8.0]);
        let expected = [0.5, 0.375f64.sqrt(), 0.948_608_137_044_967_9, 0.327_380_952_380_952_4, 0.5];
        for ((name, value), expected) in metrics.named().into_iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{name}: {value} is not {expected}");
        }
    }

    #[test]
    fn metrics_without_a_value_are_nan() {
        let constant = Metrics::compute(&[0.0, 0.0], &[1.0, 0.0]);
        assert!(constant.r2.is_nan() && constant.mape.is_nan());
        assert_eq!(constant.mae, 0.5);
    }
}
