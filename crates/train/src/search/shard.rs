//! The part of a search that one of several machines runs.

use std::{fmt, str::FromStr};

/// The part of a search's trials that one machine runs: part `index` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Shard {
    /// The whole search.
    pub(crate) const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether the trial `number` belongs to this part.
    pub(crate) fn contains(self, number: usize) -> bool {
        number % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            Some(Self { index: index.parse().ok()?, count: count.parse().ok()? })
        };
        parse()
            .filter(|shard| shard.index >= 1 && shard.index <= shard.count)
            .ok_or_else(|| format!("\"{text}\" is not a part of a search: write 1/3, 2/3 and 3/3 for three machines"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_search_share_its_trials() {
        let shards: Vec<Shard> = (1..=3).map(|index| format!("{index}/3").parse().unwrap()).collect();
        for number in 0..30 {
            assert_eq!(shards.iter().filter(|shard| shard.contains(number)).count(), 1);
        }
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("write 1/3, 2/3 and 3/3"), "{wrong}");
        }
        assert_eq!(shards[1].to_string(), "2/3");
    }
}
