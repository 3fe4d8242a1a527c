//! Encoding of one category column as features.

use rustc_hash::{FxHashMap, FxHashSet};
use schema::{Categories, Encoding, MISSING_LEVEL};
use serde::{Deserialize, Serialize};
use summary::Frequencies;

/// Name of the bucket of rare and unknown levels.
const OTHER: &str = "other";

/// A fitted encoding of one column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CategoryEncoder {
    /// The raw column.
    pub column: String,
    /// The encoding.
    pub encoder: Encoder,
    /// Index in `levels` of the level that replaces a missing value.
    pub fill: u32,
    /// One-hot: the levels with a feature each. Ordinal: the levels from low to high.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub levels: Vec<String>,
    /// Known levels that are too rare for a feature of their own.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub rare: Vec<String>,
}

/// A fitted encoding.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Encoder {
    /// One feature per level.
    OneHot {
        /// Index in `levels` of the bucket of rare and unknown levels, if there is one.
        other: Option<u32>,
    },
    /// One feature: the level's rank from 0.
    Ordinal,
    /// One feature: the index of the level; the number of levels for an unknown one.
    Native,
}

impl CategoryEncoder {
    /// Fits the levels of a column: `listed` in the schema (empty for any), `counts` in training rows. A missing value is replaced by the
    /// configured level, or by the most frequent one.
    ///
    /// # Errors
    /// If no training row has a level and none is configured.
    pub(crate) fn fit(
        column: &str,
        encoding: Encoding,
        listed: &[String],
        counts: &Frequencies,
        settings: &LevelSettings,
    ) -> Result<Self, String> {
        let known: Vec<String> =
            if listed.is_empty() { counts.levels().into_iter().map(str::to_owned).collect() } else { listed.to_vec() };
        let count = |level: &String| counts.count(level);
        let mut by_count: Vec<&String> = known.iter().collect();
        by_count.sort_by_key(|level| std::cmp::Reverse(count(level)));
        let most_frequent = by_count.first().filter(|level| count(level) > 0).map(|level| (*level).clone());
        let fill = settings.fill.clone().or(most_frequent).ok_or_else(|| {
            format!(
                "column \"{column}\" has no value in any training row, so missing values cannot be imputed. \
                 Add it to engineer.drop, or set engineer.impute.constants.{column}"
            )
        })?;

        let encoder = match encoding {
            Encoding::OneHot => None,
            Encoding::Ordinal => Some(Encoder::Ordinal),
            Encoding::Native => Some(Encoder::Native),
        };
        if let Some(encoder) = encoder {
            let fill = position(&known, &fill).unwrap_or(0);
            return Ok(Self { column: column.into(), encoder, fill, levels: known, rare: vec![] });
        }
        let capped = known.len() > settings.max_levels;
        let selected: Vec<&String> = by_count.into_iter().take(settings.max_levels).collect();
        let selected: FxHashSet<&str> = selected.into_iter().map(String::as_str).collect();
        let (mut levels, rare): (Vec<String>, Vec<String>) =
            known.iter().cloned().partition(|level| selected.contains(level.as_str()));
        let mut other = None;
        if capped || settings.unknown_to_other || !known.contains(&fill) {
            let place = levels.iter().position(|level| level.eq_ignore_ascii_case(OTHER)).unwrap_or_else(|| {
                levels.push(OTHER.into());
                levels.len() - 1
            });
            other = Some(place as u32);
        }
        let fill = position(&levels, &fill).or(other).unwrap_or(0);
        Ok(Self { column: column.into(), encoder: Encoder::OneHot { other }, fill, levels, rare })
    }

    /// Names of the features: `column=level` for each level, or the column's own.
    pub fn names(&self) -> Vec<String> {
        match self.encoder {
            Encoder::OneHot { .. } => self.levels.iter().map(|level| format!("{}={level}", self.column)).collect(),
            Encoder::Ordinal | Encoder::Native => vec![self.column.clone()],
        }
    }

    /// Index of the encoded level for `level`, or for an unknown one (`None`). `None` if it is rejected; `to_other` is true if unknown
    /// levels share a bucket.
    pub fn encoded_index(&self, level: Option<&str>, to_other: bool) -> Option<u32> {
        match (level, self.encoder) {
            (Some(level), _) => self.index_of(level, to_other),
            (None, Encoder::OneHot { other }) => other.filter(|_| to_other),
            (None, Encoder::Ordinal) => to_other.then_some(self.fill),
            (None, Encoder::Native) => to_other.then_some(self.levels.len() as u32),
        }
    }

    /// True if all indices are in range.
    pub(crate) fn is_valid(&self) -> bool {
        let in_range = |index: u32| (index as usize) < self.levels.len();
        let other = match self.encoder {
            Encoder::OneHot { other } => other.is_none_or(in_range),
            Encoder::Ordinal | Encoder::Native => true,
        };
        other && in_range(self.fill)
    }

    /// The feature columns of `values`. `unknown` makes the error for an unknown level without a bucket.
    pub(crate) fn encode<E>(
        &self,
        values: &Categories,
        unknown_to_fill: bool,
        unknown: impl Fn(usize, &str) -> E,
    ) -> Result<Vec<Vec<f64>>, E> {
        // one look-up per level of the batch
        let known: FxHashMap<&str, u32> = self.levels.iter().map(String::as_str).zip(0..).collect();
        let rare: FxHashSet<&str> = self.rare.iter().map(String::as_str).collect();
        let place = |level: &String| {
            let known = known.get(level.as_str()).copied();
            known.or_else(|| self.bucket_index(rare.contains(level.as_str()), unknown_to_fill))
        };
        let places: Vec<Option<u32>> = values.levels.iter().map(place).collect();
        let rows = values.codes.len();
        let width = if matches!(self.encoder, Encoder::OneHot { .. }) { self.levels.len() } else { 1 };
        let mut columns = vec![vec![0.0; rows]; width];
        for (row, code) in values.codes.iter().enumerate() {
            let place = match *code {
                MISSING_LEVEL => self.fill,
                code => match places.get(code as usize).copied().flatten() {
                    Some(place) => place,
                    None => return Err(unknown(row, values.levels.get(code as usize).map_or("", String::as_str))),
                },
            };
            match self.encoder {
                Encoder::OneHot { .. } => columns[place as usize][row] = 1.0,
                Encoder::Ordinal | Encoder::Native => columns[0][row] = f64::from(place),
            }
        }
        Ok(columns)
    }

    /// True if the schema or the training rows have `level`.
    pub(crate) fn knows(&self, level: &str) -> bool {
        self.index_of(level, false).is_some()
    }

    /// Appends the features of one cell; `None` is a missing value. Returns false if the level is rejected.
    pub(crate) fn encode_cell(&self, level: Option<&str>, unknown_to_fill: bool, features: &mut Vec<f64>) -> bool {
        let place = match level {
            None => Some(self.fill),
            Some(level) => self.index_of(level, unknown_to_fill),
        };
        let Some(place) = place else { return false };
        match self.encoder {
            Encoder::OneHot { .. } => {
                let first = features.len();
                features.resize(first + self.levels.len(), 0.0);
                features[first + place as usize] = 1.0;
            }
            Encoder::Ordinal | Encoder::Native => features.push(f64::from(place)),
        }
        true
    }

    fn index_of(&self, level: &str, unknown_to_fill: bool) -> Option<u32> {
        let is_rare = || self.rare.iter().any(|rare| rare == level);
        position(&self.levels, level).or_else(|| self.bucket_index(is_rare(), unknown_to_fill))
    }

    /// Index of the bucket for a level without an index of its own.
    fn bucket_index(&self, is_rare: bool, unknown_to_fill: bool) -> Option<u32> {
        match self.encoder {
            Encoder::OneHot { other } if unknown_to_fill || is_rare => other,
            Encoder::Ordinal if unknown_to_fill => Some(self.fill),
            Encoder::Native if unknown_to_fill => Some(self.levels.len() as u32),
            _ => None,
        }
    }
}

/// Settings of the choice of levels.
pub(crate) struct LevelSettings {
    /// The configured level for missing values.
    pub(crate) fill: Option<String>,
    pub(crate) max_levels: usize,
    pub(crate) unknown_to_other: bool,
}

fn position(levels: &[String], level: &str) -> Option<u32> {
    levels.iter().position(|known| known == level).map(|index| index as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Frequencies {
        let mut counts = Frequencies::default();
        [("b", 5), ("c", 3), ("a", 1)].into_iter().for_each(|(level, count)| counts.add(level, count));
        counts
    }

    fn fit(listed: &[&str], max_levels: usize, unknown_to_other: bool) -> CategoryEncoder {
        let listed: Vec<String> = listed.iter().map(|level| (*level).to_owned()).collect();
        let settings = LevelSettings { fill: None, max_levels, unknown_to_other };
        CategoryEncoder::fit("x", Encoding::OneHot, &listed, &counts(), &settings).unwrap()
    }

    fn encode(encoder: &CategoryEncoder, level: &str) -> Result<Vec<f64>, String> {
        let values = Categories { codes: vec![0], levels: vec![level.to_owned()] };
        let unknown_to_fill = matches!(encoder.encoder, Encoder::OneHot { other: Some(_) });
        let columns = encoder.encode(&values, unknown_to_fill, |_, level| level.to_owned())?;
        Ok(columns.into_iter().map(|column| column[0]).collect())
    }

    #[test]
    fn listed_levels_have_a_feature_even_without_rows() {
        let encoder = fit(&["a", "b", "c", "d"], 64, false);
        assert_eq!(encoder.names(), ["x=a", "x=b", "x=c", "x=d"]);
        assert_eq!(encode(&encoder, "d"), Ok(vec![0.0, 0.0, 0.0, 1.0]));
        assert_eq!(encode(&encoder, "ATLANTIS"), Err("ATLANTIS".into()));
    }

    #[test]
    fn rare_and_unknown_levels_share_a_bucket() {
        let encoder = fit(&[], 2, true);
        assert_eq!(encoder.names(), ["x=b", "x=c", "x=other"]);
        assert_eq!(encode(&encoder, "a"), Ok(vec![0.0, 0.0, 1.0]));
        assert_eq!(encode(&encoder, "ATLANTIS"), Ok(vec![0.0, 0.0, 1.0]));
    }

    #[test]
    fn native_encoding_uses_indices_and_the_next_one_for_unknown_levels() {
        let settings = LevelSettings { fill: None, max_levels: 2, unknown_to_other: true };
        let encoder = CategoryEncoder::fit("x", Encoding::Native, &[], &counts(), &settings).unwrap();
        assert_eq!(encoder.names(), ["x"]);
        let values = Categories { codes: vec![0, 1, MISSING_LEVEL], levels: vec!["c".into(), "ATLANTIS".into()] };
        assert_eq!(encoder.encode(&values, true, |row, _| row), Ok(vec![vec![2.0, 3.0, 1.0]]));
        assert_eq!(encoder.encode(&values, false, |row, _| row), Err(1));
    }

    #[test]
    fn a_capped_column_still_rejects_unknown_levels() {
        let encoder = fit(&[], 2, false);
        let values = Categories { codes: vec![0], levels: vec!["ATLANTIS".into()] };
        assert_eq!(encoder.encode(&values, false, |row, level| (row, level.to_owned())), Err((0, "ATLANTIS".into())));
        let rare = Categories { codes: vec![0, MISSING_LEVEL], levels: vec!["a".into()] };
        let columns = encoder.encode(&rare, false, |row, _| row).unwrap();
        assert_eq!(columns, [vec![0.0, 1.0], vec![0.0, 0.0], vec![1.0, 0.0]]);
    }
}
