//! Counts of the levels of a category.

use rustc_hash::FxHashMap;

/// How often each level of a category occurred.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frequencies {
    counts: FxHashMap<String, u64>,
}

impl Frequencies {
    /// Counts `count` rows of `level`; nothing changes if `count` is 0.
    pub fn add(&mut self, level: &str, count: u64) {
        if count == 0 {
            return;
        }
        match self.counts.get_mut(level) {
            Some(known) => *known += count,
            None => {
                self.counts.insert(level.to_owned(), count);
            }
        }
    }

    /// Counts rows by their codes, which are indices into `levels`. Returns how many rows have a code without a level, which are those
    /// without a value.
    pub fn add_codes(&mut self, levels: &[String], codes: impl Iterator<Item = u32>) -> u64 {
        let mut counts = vec![0; levels.len()];
        let mut missing = 0;
        for code in codes {
            match counts.get_mut(code as usize) {
                Some(count) => *count += 1,
                None => missing += 1,
            }
        }
        levels.iter().zip(counts).for_each(|(level, count)| self.add(level, count));
        missing
    }

    /// Counts all rows that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(level, count)| self.add(level, *count));
    }

    /// The number of rows of `level`.
    pub fn count(&self, level: &str) -> u64 {
        self.counts.get(level).copied().unwrap_or(0)
    }

    /// The number of different levels.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// The levels in alphabetical order.
    pub fn levels(&self) -> Vec<&str> {
        let mut levels: Vec<&str> = self.counts.keys().map(String::as_str).collect();
        levels.sort_unstable();
        levels
    }

    /// Levels with their counts, the most frequent first; equal counts in alphabetical order.
    pub fn most_frequent(&self) -> Vec<(&str, u64)> {
        let mut counts: Vec<(&str, u64)> = self.counts.iter().map(|(level, count)| (level.as_str(), *count)).collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        counts
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn count(levels: &[String], codes: &[u32]) -> Frequencies {
        let mut frequencies = Frequencies::default();
        frequencies.add_codes(levels, codes.iter().copied());
        frequencies
    }

    #[test]
    fn levels_are_counted_and_rows_without_a_value_returned() {
        let levels = ["b", "a", "unused", "c"].map(str::to_owned);
        let mut frequencies = Frequencies::default();
        assert_eq!(frequencies.add_codes(&levels, [0, 1, 0, u32::MAX, 3].into_iter()), 1);
        assert_eq!(frequencies.most_frequent(), [("b", 2), ("a", 1), ("c", 1)]);
        assert_eq!((frequencies.levels(), frequencies.distinct()), (vec!["a", "b", "c"], 3));
        assert_eq!((frequencies.count("b"), frequencies.count("unused")), (2, 0));
        frequencies.add("unused", 0);
        assert_eq!(frequencies.distinct(), 3);
    }

    #[test]
    fn merging_gives_the_counts_of_the_whole_stream_in_any_order_and_cut() {
        let levels: Vec<String> = (0..20).map(|level| format!("level {level}")).collect();
        for seed in 0..50 {
            let mut rng = Rng::with_seed(seed);
            let mut codes: Vec<u32> = (0..rng.usize(0..300)).map(|_| rng.u32(0..22)).collect();
            let whole = count(&levels, &codes);
            rng.shuffle(&mut codes);
            let cut = rng.usize(0..=codes.len());
            let (first, second) = codes.split_at(cut);
            let (a, b) = (count(&levels, first), count(&levels, second));
            let (mut a_then_b, mut b_then_a) = (a.clone(), b.clone());
            a_then_b.merge(&b);
            b_then_a.merge(&a);
            assert_eq!((&a_then_b, &b_then_a), (&whole, &whole), "seed {seed}");
            a_then_b.merge(&Frequencies::default());
            assert_eq!(a_then_b, whole);
        }
    }
}
