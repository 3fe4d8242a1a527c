//! Quantiles of a stream of numbers in bounded memory, independent of the order of the numbers.

use rustc_hash::FxHashMap;

/// Largest number of distinct values that are counted exactly.
const MAX_EXACT_VALUES: usize = 1 << 17;
/// Bits of a mantissa that a bin ignores. Values share a bin if sign, exponent and 13 leading bits of the mantissa agree, so the relative
/// error of a quantile is below 1/8192.
const IGNORED_BITS: u32 = 52 - 13;
/// Largest relative error of a quantile of binned values: two values of a bin differ by less.
const BIN_ERROR: f64 = 1.0 / 8192.0;
/// The key of zero. It has a bin of its own, because a share of zero is no error to allow.
const ZERO_KEY: u64 = 1 << 63;

/// Whole numbers below this are counted in an array, without hashing.
const WHOLE_NUMBERS_END: usize = 1 << 16;

/// Counts of values: exact while few values are distinct, in narrow logarithmic bins afterwards.
#[derive(Clone, Debug, Default)]
pub struct Quantiles {
    /// Counts of the whole numbers 0, 1, 2, ... below [`WHOLE_NUMBERS_END`]; most columns hold little else.
    small: Vec<u64>,
    small_distinct: usize,
    counts: FxHashMap<u64, u64>,
    binned: bool,
    total: u64,
}

impl Quantiles {
    /// Counts one finite value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let whole = value as usize;
        if !self.binned && whole < WHOLE_NUMBERS_END && whole as f64 == value {
            self.add_small(whole, 1);
        } else {
            self.add_key(order_key(value), 1);
        }
    }

    /// Counts all values that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.binned {
            self.bin();
        }
        for (whole, &count) in other.small.iter().enumerate().filter(|(_, count)| **count > 0) {
            if self.binned { self.add_key(order_key(whole as f64), count) } else { self.add_small(whole, count) }
        }
        for (&key, &count) in &other.counts {
            self.add_key(key, count);
        }
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The number of different values; `None` if there are too many to count exactly (more than 131,072).
    pub fn distinct(&self) -> Option<usize> {
        (!self.binned).then_some(self.counts.len() + self.small_distinct)
    }

    /// The largest relative error of a quantile: 0 while few values are distinct, 1/8192 afterwards.
    pub fn relative_error(&self) -> f64 {
        if self.binned { BIN_ERROR } else { 0.0 }
    }

    /// The quantiles at `probabilities` (each in 0..=1), interpolated linearly between neighbours as NumPy does by
    /// default (Hyndman and Fan's type 7). `None` without values.
    pub fn at(&self, probabilities: &[f64]) -> Option<Vec<f64>> {
        if self.total == 0 {
            return None;
        }
        let sorted = self.sorted();
        Some(probabilities.iter().map(|p| quantile(&sorted, self.total, *p)).collect())
    }

    /// Values in ascending order, each with its count.
    pub fn sorted(&self) -> Vec<(f64, u64)> {
        let small = self.small.iter().enumerate().map(|(whole, count)| (order_key(whole as f64), *count));
        let mut keys: Vec<(u64, u64)> = small.filter(|(_, count)| *count > 0).collect();
        keys.extend(self.counts.iter().map(|(key, count)| (*key, *count)));
        keys.sort_unstable();
        keys.into_iter().map(|(key, count)| (value_of(key), count)).collect()
    }

    fn add_small(&mut self, whole: usize, count: u64) {
        if whole >= self.small.len() {
            self.small.resize((whole + 1).next_power_of_two(), 0);
        }
        self.small_distinct += usize::from(self.small[whole] == 0);
        self.small[whole] += count;
        self.total += count;
        self.bin_if_many();
    }

    fn add_key(&mut self, key: u64, count: u64) {
        let key = if self.binned { bin_of(key) } else { key };
        *self.counts.entry(key).or_default() += count;
        self.total += count;
        self.bin_if_many();
    }

    fn bin_if_many(&mut self) {
        if !self.binned && self.counts.len() + self.small_distinct > MAX_EXACT_VALUES {
            self.bin();
        }
    }

    fn bin(&mut self) {
        if self.binned {
            return;
        }
        self.binned = true;
        let small = std::mem::take(&mut self.small).into_iter().enumerate();
        let small = small.filter(|(_, count)| *count > 0).map(|(whole, count)| (order_key(whole as f64), count));
        for (key, count) in std::mem::take(&mut self.counts).into_iter().chain(small) {
            *self.counts.entry(bin_of(key)).or_default() += count;
        }
    }
}

fn quantile(sorted: &[(f64, u64)], total: u64, probability: f64) -> f64 {
    let position = probability.clamp(0.0, 1.0) * (total - 1) as f64;
    let (below, above) = (position.floor() as u64, position.ceil() as u64);
    let (low, high) = (value_at(sorted, below), value_at(sorted, above));
    let share = position - below as f64;
    // the distance of two large numbers of opposite signs is infinite
    if (high - low).is_finite() { low + (high - low) * share } else { low * (1.0 - share) + high * share }
}

fn value_at(sorted: &[(f64, u64)], rank: u64) -> f64 {
    let mut cumulative = 0;
    for (value, count) in sorted {
        cumulative += count;
        if cumulative > rank {
            return *value;
        }
    }
    sorted.last().map_or(f64::NAN, |(value, _)| *value)
}

/// Maps a float to an integer that sorts the same way (the sign bit flipped, negative numbers inverted).
fn order_key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The middle of the bin of a key.
fn bin_of(key: u64) -> u64 {
    if key == ZERO_KEY {
        return key;
    }
    (key >> IGNORED_BITS << IGNORED_BITS) | (1 << (IGNORED_BITS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(values: impl IntoIterator<Item = f64>) -> Quantiles {
        let mut quantiles = Quantiles::default();
        values.into_iter().for_each(|value| quantiles.add(value));
        quantiles
    }

    #[test]
    fn quantiles_of_a_short_list_agree_with_numpy() {
        // numpy 2.4.6: np.quantile([3, -1, 10, 2.5, 2.5], [0, .25, .5, .9, 1])
        let found = collect([3.0, -1.0, 10.0, 2.5, 2.5]).at(&[0.0, 0.25, 0.5, 0.9, 1.0]).unwrap();
        let expected = [-1.0, 2.5, 2.5, 7.2, 10.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    #[test]
    fn binned_quantiles_are_within_the_stated_error() {
        let many = collect((0..400_000).map(|i| f64::from(i) * 3.7 + 1000.0));
        assert_eq!(many.distinct(), None);
        for p in [0.01, 0.25, 0.5, 0.99] {
            let exact = 399_999.0 * p * 3.7 + 1000.0;
            let found = many.at(&[p]).unwrap()[0];
            assert!((found / exact - 1.0).abs() < 1.0 / 8192.0, "at {p}: {found} against {exact}");
        }
    }

    #[test]
    fn zeros_among_many_values_are_zero() {
        let mut many = collect((0..400_000).map(|i| f64::from(i - 200_000) * 0.37));
        (0..200_000).for_each(|_| many.add(-0.0));
        assert_eq!((many.distinct(), many.relative_error()), (None, 1.0 / 8192.0));
        assert_eq!(many.at(&[0.4, 0.5, 0.6]).unwrap(), [0.0; 3]);
    }

    #[test]
    fn quantiles_between_the_largest_numbers_are_finite() {
        let found = collect([f64::MIN, f64::MAX]).at(&[0.0, 0.5, 1.0]).unwrap();
        assert_eq!(found, [f64::MIN, 0.0, f64::MAX]);
    }

    #[test]
    fn quantiles_do_not_depend_on_order_or_cut() {
        let values: Vec<f64> = (0..300_000_u64).map(|i| (i * 7919 % 300_007) as f64).collect();
        let whole = collect(values.iter().copied());
        let mut merged = collect(values[200_000..].iter().copied());
        merged.merge(&collect(values[..200_000].iter().copied()));
        assert_eq!(whole.sorted(), merged.sorted());
    }

    #[test]
    fn quantiles_without_values_are_none() {
        assert_eq!(Quantiles::default().at(&[0.5]), None);
    }

    #[test]
    fn merging_gives_the_quantiles_of_the_whole_stream_in_any_order_and_cut() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut values: Vec<f64> = (0..rng.usize(1..300))
                .map(|_| match rng.u8(0..3) {
                    0 => f64::from(rng.u32(0..40)),
                    1 => -rng.f64() * 1e6,
                    _ => 70_000.0 + f64::from(rng.u32(0..9)),
                })
                .collect();
            let whole = collect(values.iter().copied());
            rng.shuffle(&mut values);
            let cut = rng.usize(0..=values.len());
            let (first, second) = values.split_at(cut);
            let (mut a_then_b, mut b_then_a) = (collect(first.iter().copied()), collect(second.iter().copied()));
            a_then_b.merge(&collect(second.iter().copied()));
            b_then_a.merge(&collect(first.iter().copied()));
            for merged in [a_then_b, b_then_a] {
                assert_eq!(merged.sorted(), whole.sorted(), "seed {seed}");
                assert_eq!((merged.count(), merged.distinct()), (whole.count(), whole.distinct()));
                assert_eq!(merged.at(&[0.1, 0.5, 0.9]), whole.at(&[0.1, 0.5, 0.9]));
            }
        }
    }
}
