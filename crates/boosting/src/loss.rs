//! Loss functions.

/// A loss function. With a logarithmic link, trees predict the logarithm of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// `½ (y − f)²`.
    Squared,
    /// `|y − f|`.
    Absolute,
    /// Squared for small residuals, absolute for large ones. The limit (delta) is this quantile of the absolute residuals, updated before
    /// each tree (Friedman, 2001).
    Huber {
        /// 0 < alpha < 1.
        alpha: f64,
    },
    /// The pinball loss, which is minimised by this quantile of the target.
    Quantile {
        /// 0 < alpha < 1.
        alpha: f64,
    },
    /// Deviance of a Poisson distribution, logarithmic link; the target is at least 0.
    Poisson,
    /// Deviance of a gamma distribution, logarithmic link; the target is above 0.
    Gamma,
}

/// First and second derivative by the prediction.
pub(crate) type Derivatives = (f64, f64);

impl Loss {
    /// True if predictions are the exponential of the sum of the trees.
    pub fn has_log_link(self) -> bool {
        matches!(self, Self::Poisson | Self::Gamma)
    }

    /// True if the second derivative is 1 for each row.
    pub(crate) fn has_unit_curvature(self) -> bool {
        !self.has_log_link()
    }

    /// True if leaf values are computed from the residuals instead of the derivatives.
    pub(crate) fn refits_leaves(self) -> bool {
        matches!(self, Self::Absolute | Self::Huber { .. } | Self::Quantile { .. })
    }

    /// The reason why a target value cannot be fitted with this loss.
    pub(crate) fn target_error(self, y: f64) -> Option<&'static str> {
        match self {
            Self::Poisson if y < 0.0 => Some("a poisson loss needs a target of at least 0"),
            Self::Gamma if y <= 0.0 => Some("a gamma loss needs a target above 0"),
            _ => None,
        }
    }

    /// The best constant prediction.
    pub(crate) fn base(self, y: &[f64], weights: Option<&[f64]>) -> f64 {
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        match self {
            Self::Squared => mean(y, weights),
            Self::Poisson | Self::Gamma => mean(y, weights).max(f64::MIN_POSITIVE).ln(),
            Self::Absolute | Self::Huber { .. } => {
                quantile(y.iter().enumerate().map(|(row, y)| (*y, weight(row))).collect(), 0.5)
            }
            Self::Quantile { alpha } => quantile(y.iter().enumerate().map(|(row, y)| (*y, weight(row))).collect(), alpha),
        }
    }

    /// The derivatives at the prediction `f`; `delta` is Huber's.
    #[inline]
    pub(crate) fn derivatives(self, y: f64, f: f64, delta: f64) -> Derivatives {
        match self {
            Self::Squared => (f - y, 1.0),
            Self::Absolute => (sign(f - y), 1.0),
            Self::Huber { .. } => ((f - y).clamp(-delta, delta), 1.0),
            Self::Quantile { alpha } => (
                if y > f {
                    -alpha
                } else if y < f {
                    1.0 - alpha
                } else {
                    0.0
                },
                1.0,
            ),
            Self::Poisson => {
                let mean = f.exp();
                (mean - y, mean)
            }
            Self::Gamma => {
                let ratio = y * (-f).exp();
                (1.0 - ratio, ratio)
            }
        }
    }

    /// The loss without terms that are independent of the prediction.
    pub(crate) fn value(self, y: f64, f: f64, delta: f64) -> f64 {
        let error = (y - f).abs();
        match self {
            Self::Squared => 0.5 * error * error,
            Self::Absolute => error,
            Self::Huber { .. } if error <= delta => 0.5 * error * error,
            Self::Huber { .. } => delta * (error - 0.5 * delta),
            Self::Quantile { alpha } => (y - f) * if y >= f { alpha } else { alpha - 1.0 },
            Self::Poisson => f.exp() - y * f,
            Self::Gamma => y * (-f).exp() + f,
        }
    }

    /// The best constant to add in a leaf with these residuals and weights.
    pub(crate) fn leaf_value(self, residuals: Vec<(f64, f64)>, delta: f64) -> f64 {
        match self {
            Self::Quantile { alpha } => quantile(residuals, alpha),
            Self::Huber { .. } => {
                let median = quantile(residuals.clone(), 0.5);
                let near = |residual: f64| (residual - median).clamp(-delta, delta);
                let (sum, weight) = residuals
                    .iter()
                    .fold((0.0, 0.0), |(sum, total), (residual, weight)| (sum + near(*residual) * weight, total + weight));
                median + sum / weight
            }
            _ => quantile(residuals, 0.5),
        }
    }
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

fn mean(y: &[f64], weights: Option<&[f64]>) -> f64 {
    // scaled by the largest value, so that a sum of very large numbers stays finite
    let scale = y.iter().fold(0.0_f64, |largest, y| largest.max(y.abs())).max(f64::MIN_POSITIVE);
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, y) in y.iter().enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        sum += y / scale * weight;
        total += weight;
    }
    sum / total * scale
}

/// The smallest value with at least this share of the weight at or below it; half way to the next value if the share is exact.
pub(crate) fn quantile(mut values: Vec<(f64, f64)>, share: f64) -> f64 {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (index, (value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > share * total {
            return *value;
        }
        if below == share * total
            && let Some((next, _)) = values.get(index + 1)
        {
            return f64::midpoint(*value, *next);
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Loss; 6] = [
        Loss::Squared,
        Loss::Absolute,
        Loss::Huber { alpha: 0.9 },
        Loss::Quantile { alpha: 0.3 },
        Loss::Poisson,
        Loss::Gamma,
    ];

    #[test]
    fn derivatives_agree_with_differences_of_the_loss() {
        let step = 1e-6;
        for loss in ALL {
            for (y, f) in [(2.0, 0.7), (0.5, 1.1), (3.0, 2.9)] {
                let (first, second) = loss.derivatives(y, f, 1.0);
                let slope = (loss.value(y, f + step, 1.0) - loss.value(y, f - step, 1.0)) / (2.0 * step);
                assert!((first - slope).abs() < 1e-6, "{loss:?} {y} {f}: {first} {slope}");
                if loss.has_log_link() {
                    let bend = (loss.derivatives(y, f + step, 1.0).0 - loss.derivatives(y, f - step, 1.0).0) / (2.0 * step);
                    assert!((second - bend).abs() < 1e-6, "{loss:?}");
                }
            }
        }
    }

    #[test]
    fn the_base_is_the_best_constant() {
        let y = [1.0, 2.0, 2.5, 4.0, 9.0, 0.5, 3.0];
        let weights = [1.0, 2.0, 1.0, 0.5, 1.0, 3.0, 1.0];
        for loss in ALL.into_iter().filter(|loss| !matches!(loss, Loss::Huber { .. })) {
            for weights in [None, Some(weights.as_slice())] {
                let base = loss.base(&y, weights);
                let total = |f: f64| -> f64 {
                    y.iter().enumerate().map(|(row, y)| loss.value(*y, f, 1.0) * weights.map_or(1.0, |w| w[row])).sum()
                };
                for other in [base - 0.01, base + 0.01] {
                    assert!(total(base) <= total(other) + 1e-12, "{loss:?}");
                }
            }
        }
    }

    #[test]
    fn quantiles_of_weighted_values() {
        let of = |share| quantile(vec![(3.0, 1.0), (1.0, 1.0), (2.0, 1.0), (4.0, 1.0)], share);
        assert_eq!((of(0.5), of(0.4), of(0.0), of(1.0)), (2.5, 2.0, 1.0, 4.0));
        assert_eq!(quantile(vec![(1.0, 1.0), (5.0, 9.0)], 0.5), 5.0);
        assert_eq!(mean(&[1e308, 1e308], None), 1e308);
    }
}
