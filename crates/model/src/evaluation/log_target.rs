//! Recommendation of a logarithm for a skewed target.

use crate::estimator::statistics::mean_and_deviation;

/// Smallest number of rows for a recommendation.
const MIN_ROWS: usize = 40;
/// Smallest skewness of the target for a recommendation; that of an exponential distribution is 2.
const MIN_SKEWNESS: f64 = 1.0;
/// Smallest rank correlation of absolute errors and predictions for a recommendation.
const MIN_RANK_CORRELATION: f64 = 0.25;

/// A recommendation to transform the target by its logarithm: it is skewed, its logarithm is much less so, and out-of-fold errors grow with
/// the prediction. `None` otherwise, and for a target that is not positive.
pub fn recommends_log_target(y_true: &[f64], y_pred: &[f64]) -> Option<String> {
    if y_true.len() < MIN_ROWS || !y_true.iter().zip(y_pred).all(|(y, p)| *y > 0.0 && p.is_finite()) {
        return None;
    }
    let logs: Vec<f64> = y_true.iter().map(|y| y.ln()).collect();
    let (skew, log_skew) = (skewness(y_true), skewness(&logs));
    let errors: Vec<f64> = y_true.iter().zip(y_pred).map(|(y, p)| (y - p).abs()).collect();
    let correlation = rank_correlation(&errors, y_pred);
    (skew > MIN_SKEWNESS && log_skew.abs() < skew / 2.0 && correlation > MIN_RANK_CORRELATION).then(|| {
        format!(
            "the target is skewed ({skew:.1}; its logarithm {log_skew:.1}) and errors grow with the prediction (rank correlation {correlation:.2}): try \
             target_transform: log"
        )
    })
}

fn skewness(values: &[f64]) -> f64 {
    let (mean, deviation) = mean_and_deviation(values);
    if deviation == 0.0 {
        return 0.0;
    }
    values.iter().map(|value| ((value - mean) / deviation).powi(3)).sum::<f64>() / values.len() as f64
}

/// Spearman's rank correlation; ties are ranked in their order.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut ranks = vec![0.0; values.len()];
        order.into_iter().enumerate().for_each(|(rank, row)| ranks[row] = rank as f64);
        ranks
    };
    let (a, b) = (ranks(a), ranks(b));
    let (mean, deviation) = mean_and_deviation(&a);
    let covariance = a.iter().zip(&b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / a.len() as f64;
    if deviation == 0.0 { 0.0 } else { covariance / (deviation * deviation) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn a_logarithm_is_recommended_for_skewed_targets_with_growing_errors() {
        let mut rng = Rng::with_seed(6);
        let p: Vec<f64> = (0..500).map(|_| (3.0 * rng.f64() + 3.0 * rng.f64()).exp()).collect();
        let y: Vec<f64> = p.iter().map(|p| p * (0.7 + 0.6 * rng.f64())).collect();
        let text = recommends_log_target(&y, &p).unwrap();
        assert!(text.contains("try target_transform: log"), "{text}");
        let even: Vec<f64> = (0..400).map(|_| 1.0 + 5.0 * rng.f64() + 3.0 * rng.f64()).collect();
        assert_eq!(recommends_log_target(&even, &even), None);
    }
}
