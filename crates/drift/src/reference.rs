//! The stored distribution of training rows.

use serde::{Deserialize, Serialize};
use summary::Quantiles;

/// The version of [`Reference`].
pub const REFERENCE_VERSION: u32 = 1;
/// Largest number of bins of a number; they have equal shares as far as the values allow.
const MAX_BINS: usize = 10;

/// The distributions of training rows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Reference {
    /// Version of the format.
    pub format_version: u32,
    /// Number of training rows.
    pub rows: u64,
    /// The raw columns that features use, in the order of the schema.
    pub columns: Vec<ColumnReference>,
    /// The distribution of predictions for training rows, out of fold where available.
    pub prediction: Option<NumberReference>,
}

/// The distribution of a column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ColumnReference {
    /// Name of the column.
    pub name: String,
    /// Share of rows without a value.
    pub missing: f64,
    /// The distribution of the other rows.
    pub distribution: Distribution,
}

/// The distribution of the values of a column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Numbers, or dates as days since 1970-01-01; `None` without values.
    Number(Option<NumberReference>),
    /// Share of each level among the rows with a value, the most frequent first.
    Levels(Vec<(String, f64)>),
}

/// The distribution of a number.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NumberReference {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The median.
    pub median: f64,
    /// Upper edges of the bins, ascending: a value belongs to the first bin whose edge is not below it; the last bin has no edge.
    pub edges: Vec<f64>,
    /// Share of each bin.
    pub shares: Vec<f64>,
}

impl Reference {
    /// Parses and validates a stored reference.
    ///
    /// # Errors
    /// If the bytes are not a reference, or a value is invalid.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let reference: Self = serde_json::from_slice(bytes).map_err(|error| format!("is not a valid reference: {error}"))?;
        if reference.format_version != REFERENCE_VERSION {
            return Err(format!("has format version {}; this program reads {REFERENCE_VERSION}", reference.format_version));
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
                    Distribution::Number(reference) => reference.as_ref().is_none_or(number),
                    Distribution::Levels(levels) => levels.iter().all(|(_, reference)| share(*reference)),
                }
        };
        if let Some(bad) = reference.columns.iter().find(|reference| !column(reference)) {
            return Err(format!("the distribution of \"{}\" is invalid", bad.name));
        }
        if !reference.prediction.as_ref().is_none_or(number) {
            return Err("the distribution of the predictions is invalid".into());
        }
        Ok(reference)
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
    /// The distribution of values; `None` if none is finite.
    pub fn from_values(values: &[f64]) -> Option<Self> {
        let mut quantiles = Quantiles::default();
        values.iter().filter(|value| value.is_finite()).for_each(|value| quantiles.add(*value));
        Self::from_quantiles(&quantiles)
    }

    /// The distribution of counted values; `None` without values.
    pub fn from_quantiles(quantiles: &Quantiles) -> Option<Self> {
        let median = quantiles.at(&[0.5])?[0];
        let sorted = quantiles.sorted();
        let (min, max) = (sorted.first()?.0, sorted.last()?.0);
        // a bin ends at a value that occurs, so that no bin is empty; there is no edge at the largest value
        let (mut edges, mut below) = (Vec::new(), 0);
        for (value, count) in &sorted {
            below += count;
            let bins = below * MAX_BINS as u64 / quantiles.count();
            if bins > (below - count) * MAX_BINS as u64 / quantiles.count() && *value < max {
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
        let reference = NumberReference::from_values(&values).unwrap();
        assert_eq!((reference.min, reference.max, reference.median), (1.0, 1000.0, 500.5));
        assert_eq!(reference.shares, [0.1; 10]);
        assert_eq!((reference.bin(-5.0), reference.bin(100.0), reference.bin(101.0), reference.bin(5000.0)), (0, 0, 1, 9));
        // one value per bin, and no bin is empty
        let rooms = [2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0];
        let reference = NumberReference::from_values(&rooms).unwrap();
        assert!(reference.edges.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(reference.shares.iter().all(|share| *share > 0.0), "{reference:?}");
        assert!((reference.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let constant = NumberReference::from_values(&[7.0; 5]).unwrap();
        assert_eq!((constant.edges.as_slice(), constant.shares.as_slice()), (&[][..], &[1.0][..]));
        assert_eq!(NumberReference::from_values(&[f64::NAN]), None);
    }

    #[test]
    fn invalid_references_are_rejected() {
        let number = NumberReference::from_values(&[1.0, 2.0, 3.0]).unwrap();
        let column =
            ColumnReference { name: "size".into(), missing: 0.0, distribution: Distribution::Number(Some(number.clone())) };
        let valid =
            Reference { format_version: 1, rows: 3, columns: vec![column.clone()], prediction: Some(number.clone()) };
        assert_eq!(Reference::parse(valid.render().as_bytes()), Ok(valid.clone()));
        let error_of = |change: fn(&mut Reference)| {
            let mut broken = valid.clone();
            change(&mut broken);
            Reference::parse(broken.render().as_bytes()).unwrap_err()
        };
        assert_eq!(error_of(|r| r.format_version = 2), "has format version 2; this program reads 1");
        assert_eq!(error_of(|r| r.columns[0].missing = 1.5), "the distribution of \"size\" is invalid");
        assert_eq!(
            error_of(|r| r.prediction.as_mut().unwrap().shares.clear()),
            "the distribution of the predictions is invalid"
        );
        assert!(Reference::parse(b"{}").unwrap_err().starts_with("is not a valid reference: missing field"));
    }
}
