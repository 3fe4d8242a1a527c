//! Means, standard deviations and correlations of pairs of numbers.

/// Sums of pairs (x, y) for mean, variance and correlation. They are taken relative to the first pair, so that large values keep their digits.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    n: f64,
    shift: (f64, f64),
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Moments {
    /// Counts one pair of finite numbers.
    pub fn add(&mut self, x: f64, y: f64) {
        if self.n == 0.0 {
            self.shift = (x, y);
        }
        let (x, y) = (x - self.shift.0, y - self.shift.1);
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    /// The moments of all pairs that this and `other` counted. Another order or cut of a stream changes the last digits at most.
    pub fn merged(&self, other: &Self) -> Self {
        if self.n == 0.0 || other.n == 0.0 {
            return if self.n == 0.0 { other.clone() } else { self.clone() };
        }
        let (dx, dy, n) = (other.shift.0 - self.shift.0, other.shift.1 - self.shift.1, other.n);
        Self {
            n: self.n + n,
            shift: self.shift,
            x: self.x + other.x + n * dx,
            y: self.y + other.y + n * dy,
            xx: self.xx + other.xx + 2.0 * dx * other.x + n * dx * dx,
            yy: self.yy + other.yy + 2.0 * dy * other.y + n * dy * dy,
            xy: self.xy + other.xy + dx * other.y + dy * other.x + n * dx * dy,
        }
    }

    /// The number of pairs.
    pub fn rows(&self) -> u64 {
        self.n as u64
    }

    /// The first x, which sums of x are relative to; 0 before the first pair.
    pub fn shift_x(&self) -> f64 {
        self.shift.0
    }

    /// The mean of x; `None` without pairs.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0.0).then(|| self.shift.0 + self.x / self.n)
    }

    /// The sample standard deviation of x (n - 1 in the denominator); `None` for fewer than two pairs.
    pub fn standard_deviation(&self) -> Option<f64> {
        (self.n > 1.0).then(|| (self.squared_deviations_x() / (self.n - 1.0)).max(0.0).sqrt())
    }

    /// Pearson's correlation of x and y, in -1..=1; `None` for fewer than three pairs or where x or y is constant.
    pub fn correlation(&self) -> Option<f64> {
        let spread_x = self.squared_deviations_x();
        let spread_y = self.yy - self.y * self.y / self.n;
        let shared = self.xy - self.x * self.y / self.n;
        (self.n > 2.0 && spread_x > 0.0 && spread_y > 0.0).then(|| (shared / (spread_x * spread_y).sqrt()).clamp(-1.0, 1.0))
    }

    /// The share of the variance of x that lies between groups (eta squared), in 0..=1. Each group is the sum of its x relative to
    /// [`shift_x`](Self::shift_x) and its number of rows, above 0. `None` for fewer than three pairs or where x is constant.
    pub fn explained_variance(&self, groups: impl Iterator<Item = (f64, u64)>) -> Option<f64> {
        let spread = self.squared_deviations_x();
        let between: f64 = groups.map(|(sum, rows)| sum * sum / rows as f64).sum();
        (self.n > 2.0 && spread > 0.0).then(|| ((between - self.x * self.x / self.n) / spread).clamp(0.0, 1.0))
    }

    fn squared_deviations_x(&self) -> f64 {
        self.xx - self.x * self.x / self.n
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn collect(pairs: &[(f64, f64)]) -> Moments {
        let mut moments = Moments::default();
        pairs.iter().for_each(|(x, y)| moments.add(*x, *y));
        moments
    }

    #[test]
    fn moments_agree_with_a_calculation_by_hand() {
        // by hand: 12 / sqrt(10 * 21.2)
        let moments = collect(&[(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0), (5.0, 7.0)]);
        assert!((moments.correlation().unwrap() - 12.0 / 212f64.sqrt()).abs() < 1e-12);
        assert!((moments.standard_deviation().unwrap() - 2.5f64.sqrt()).abs() < 1e-12);
        assert_eq!((moments.mean(), moments.rows()), (Some(3.0), 5));
        // groups {1, 2} and {3, 4, 5}: between 2 * 1.5^2 + 3 * 1^2 = 7.5 of 10; relative to 1 their sums are 1 and 9
        assert!((moments.explained_variance([(1.0, 2), (9.0, 3)].into_iter()).unwrap() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn too_few_or_constant_pairs_give_none() {
        let none = Moments::default();
        assert_eq!((none.mean(), none.standard_deviation(), none.correlation()), (None, None, None));
        assert_eq!(collect(&[(1.0, 1.0), (2.0, 2.0)]).correlation(), None);
        assert_eq!(collect(&[(1.0, 7.0), (2.0, 7.0), (3.0, 7.0)]).correlation(), None);
        assert_eq!(collect(&[(5.0, 0.0); 3]).explained_variance([(0.0, 3)].into_iter()), None);
    }

    #[test]
    fn merging_gives_the_moments_of_the_whole_stream_in_any_order_and_cut() {
        for seed in 0..50 {
            let mut rng = Rng::with_seed(seed);
            let offset = 1e6 * rng.f64();
            let mut pairs: Vec<(f64, f64)> = (0..rng.usize(3..200)).map(|_| (offset + rng.f64(), rng.f64())).collect();
            let whole = collect(&pairs);
            rng.shuffle(&mut pairs);
            let cut = rng.usize(0..=pairs.len());
            let (first, second) = pairs.split_at(cut);
            for merged in [collect(first).merged(&collect(second)), collect(second).merged(&collect(first))] {
                let near = |found: Option<f64>, expected: Option<f64>| {
                    let (found, expected) = (found.unwrap(), expected.unwrap());
                    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "seed {seed}: {found} {expected}");
                };
                assert_eq!(merged.rows(), whole.rows());
                near(merged.mean(), whole.mean());
                near(merged.standard_deviation(), whole.standard_deviation());
                near(merged.correlation(), whole.correlation());
            }
        }
    }
}
