//! Quantiles of a stream of numbers in bounded memory, the same for any order of the numbers.

use rustc_hash::FxHashMap;

/// While a column has at most this many distinct values its quantiles are exact.
const EXACT_DISTINCT: usize = 1 << 17;
/// After that, values that agree in sign, exponent and the leading 13 bits of the mantissa share a bin, so that a
/// quantile is off by less than 1/8192 of itself.
const BIN_SHIFT: u32 = 52 - 13;

/// Whole numbers below this are counted without hashing.
const SMALL: usize = 1 << 16;

/// Counts values, exactly while few are distinct and in narrow logarithmic bins afterwards.
#[derive(Clone, Debug, Default)]
pub struct Quantiles {
    /// Counts of the whole numbers 0, 1, 2, ... below [`SMALL`], as far as any was seen: most columns hold little else.
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
        if !self.binned && whole < SMALL && whole as f64 == value {
            self.add_small(whole, 1);
        } else {
            self.add_key(order_key(value), 1);
        }
    }

    /// Counts everything that `other` counted.
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

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// How many different values were counted; `None` once there are more than are kept apart.
    pub fn distinct(&self) -> Option<usize> {
        (!self.binned).then_some(self.counts.len() + self.small_distinct)
    }

    /// The quantiles at `probabilities` (each in 0..=1), interpolated linearly between neighbours as NumPy does by
    /// default (Hyndman and Fan's type 7). `None` where nothing was counted.
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
        if !self.binned && self.counts.len() + self.small_distinct > EXACT_DISTINCT {
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
    low + (high - low) * (position - below as f64)
}

fn value_at(sorted: &[(f64, u64)], rank: u64) -> f64 {
    let mut seen = 0;
    for (value, count) in sorted {
        seen += count;
        if seen > rank {
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

/// The middle of the bin a key falls into.
fn bin_of(key: u64) -> u64 {
    (key >> BIN_SHIFT << BIN_SHIFT) | (1 << (BIN_SHIFT - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Quantiles {
        let mut quantiles = Quantiles::default();
        values.into_iter().for_each(|value| quantiles.add(value));
        quantiles
    }

    #[test]
    fn agrees_with_numpy_on_a_short_list() {
        // numpy 2.4.6: np.quantile([3, -1, 10, 2.5, 2.5], [0, .25, .5, .9, 1])
        let found = of([3.0, -1.0, 10.0, 2.5, 2.5]).at(&[0.0, 0.25, 0.5, 0.9, 1.0]).unwrap();
        let expected = [-1.0, 2.5, 2.5, 7.2, 10.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    #[test]
    fn is_within_its_stated_error_when_binned() {
        let many = of((0..400_000).map(|i| f64::from(i) * 3.7 + 1000.0));
        assert_eq!(many.distinct(), None);
        for p in [0.01, 0.25, 0.5, 0.99] {
            let exact = 399_999.0 * p * 3.7 + 1000.0;
            let found = many.at(&[p]).unwrap()[0];
            assert!((found / exact - 1.0).abs() < 1.0 / 8192.0, "at {p}: {found} against {exact}");
        }
    }

    #[test]
    fn does_not_depend_on_how_the_stream_was_cut() {
        let values: Vec<f64> = (0..300_000_u64).map(|i| (i * 7919 % 300_007) as f64).collect();
        let whole = of(values.iter().copied());
        let mut merged = of(values[200_000..].iter().copied());
        merged.merge(&of(values[..200_000].iter().copied()));
        assert_eq!(whole.sorted(), merged.sorted());
    }

    #[test]
    fn of_nothing_is_none() {
        assert_eq!(Quantiles::default().at(&[0.5]), None);
    }
}
