//! The distribution of training rows, as stored.

use serde::{Deserialize, Serialize};
use summary::Quantiles;

/// The version of [`Reference`].
pub const REFERENCE_VERSION: u32 = 1;
/// A number has this many bins at most, of equal shares as far as its values allow.
const BINS: usize = 10;

/// What training rows looked like.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Reference {
    /// The format's version.
    pub format_version: u32,
    /// How many training rows there were.
    pub rows: u64,
    /// The raw columns that features are made of, in the order of the schema.
    pub columns: Vec<ColumnReference>,
    /// What was predicted for training rows, by models that had not seen them where that is known.
    pub prediction: Option<NumberReference>,
}

/// One column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ColumnReference {
    /// Its name.
    pub name: String,
    /// The share of rows without a value.
    pub missing: f64,
    /// What the others look like.
    pub distribution: Distribution,
}

/// The values of a column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Numbers, or dates as days since 1970-01-01; `None` where no row has a value.
    Number(Option<NumberReference>),
    /// The share of each level among the rows that have a value, the most frequent first.
    Levels(Vec<(String, f64)>),
}

/// The distribution of a number.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NumberReference {
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The median.
    pub median: f64,
    /// Where bins end, ascending: a value belongs to the first bin whose edge is not below it, or to one more behind the last edge.
    pub edges: Vec<f64>,
    /// The share of each bin.
    pub shares: Vec<f64>,
}

impl Reference {
    /// Reads a stored reference and checks it.
    ///
    /// # Errors
    /// If it is not one, or its figures cannot be.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let found: Self = serde_json::from_slice(bytes).map_err(|error| format!("cannot be read: {error}"))?;
        if found.format_version != REFERENCE_VERSION {
            return Err(format!("has format version {}; this program reads {REFERENCE_VERSION}", found.format_version));
        }
        let share = |share: f64| (0.0..=1.0).contains(&share);
        let number = |number: &NumberReference| {
            let finite = [number.min, number.max, number.median].iter().chain(&number.edges).all(|value| value.is_finite());
            let sorted = number.edges.is_sorted_by(|a, b| a < b) && number.min <= number.max;
            finite && sorted && number.shares.len() == number.edges.len() + 1 && number.shares.iter().all(|s| share(*s))
        };
        let column = |column: &ColumnReference| {
            share(column.missing)
                && match &column.distribution {
                    Distribution::Number(found) => found.as_ref().is_none_or(number),
                    Distribution::Levels(levels) => levels.iter().all(|(_, found)| share(*found)),
                }
        };
        if let Some(bad) = found.columns.iter().find(|found| !column(found)) {
            return Err(format!("its figures of \"{}\" cannot be", bad.name));
        }
        if !found.prediction.as_ref().is_none_or(number) {
            return Err("its figures of the predictions cannot be".into());
        }
        Ok(found)
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        serde_json::to_string_pretty(self).map_or_else(|error| error.to_string(), |text| format!("{text}\n"))
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&ColumnReference> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl ColumnReference {
    /// The numbers of the column, if it has any.
    pub fn number(&self) -> Option<&NumberReference> {
        match &self.distribution {
            Distribution::Number(number) => number.as_ref(),
            Distribution::Levels(_) => None,
        }
    }

    /// The most frequent level, if the column has levels.
    pub fn most_frequent(&self) -> Option<&str> {
        match &self.distribution {
            Distribution::Number(_) => None,
            Distribution::Levels(levels) => levels.first().map(|(level, _)| level.as_str()),
        }
    }
}

impl NumberReference {
    /// Of values; `None` if none is finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut quantiles = Quantiles::default();
        values.iter().filter(|value| value.is_finite()).for_each(|value| quantiles.add(*value));
        Self::of_quantiles(&quantiles)
    }

    /// Of values that were counted; `None` of none.
    pub fn of_quantiles(quantiles: &Quantiles) -> Option<Self> {
        let median = quantiles.at(&[0.5])?[0];
        let sorted = quantiles.sorted();
        let (min, max) = (sorted.first()?.0, sorted.last()?.0);
        // a bin ends at a value that occurs, so that none is empty; nothing is above the greatest
        let (mut edges, mut below) = (Vec::new(), 0);
        for (value, count) in &sorted {
            below += count;
            let bins = below * BINS as u64 / quantiles.count();
            if bins > (below - count) * BINS as u64 / quantiles.count() && *value < max {
                edges.push(*value);
            }
        }
        let mut counts = vec![0; edges.len() + 1];
        for (value, count) in &sorted {
            counts[bin_of(&edges, *value)] += count;
        }
        let shares = counts.iter().map(|count| *count as f64 / quantiles.count() as f64).collect();
        Some(Self { min, max, median, edges, shares })
    }

    /// The bin that a value belongs to.
    pub fn bin(&self, value: f64) -> usize {
        bin_of(&self.edges, value)
    }
}

fn bin_of(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_have_equal_shares_where_values_allow() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        let found = NumberReference::of(&values).unwrap();
        assert_eq!((found.min, found.max, found.median), (1.0, 1000.0, 500.5));
        assert_eq!(found.shares, [0.1; 10]);
        assert_eq!((found.bin(-5.0), found.bin(100.0), found.bin(101.0), found.bin(5000.0)), (0, 0, 1, 9));
        // rooms: a value a bin, and none is empty
        let rooms = [2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0];
        let found = NumberReference::of(&rooms).unwrap();
        assert!(found.edges.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(found.shares.iter().all(|share| *share > 0.0), "{found:?}");
        assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let constant = NumberReference::of(&[7.0; 5]).unwrap();
        assert_eq!((constant.edges.as_slice(), constant.shares.as_slice()), (&[][..], &[1.0][..]));
        assert_eq!(NumberReference::of(&[f64::NAN]), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let number = NumberReference::of(&[1.0, 2.0, 3.0]).unwrap();
        let column =
            ColumnReference { name: "size".into(), missing: 0.0, distribution: Distribution::Number(Some(number.clone())) };
        let sound =
            Reference { format_version: 1, rows: 3, columns: vec![column.clone()], prediction: Some(number.clone()) };
        assert_eq!(Reference::parse(sound.render().as_bytes()), Ok(sound.clone()));
        let broken = |change: fn(&mut Reference)| {
            let mut broken = sound.clone();
            change(&mut broken);
            Reference::parse(broken.render().as_bytes()).unwrap_err()
        };
        assert_eq!(broken(|r| r.format_version = 2), "has format version 2; this program reads 1");
        assert_eq!(broken(|r| r.columns[0].missing = 1.5), "its figures of \"size\" cannot be");
        assert_eq!(broken(|r| r.prediction.as_mut().unwrap().shares.clear()), "its figures of the predictions cannot be");
        assert!(Reference::parse(b"{}").unwrap_err().starts_with("cannot be read: missing field"));
    }
}
