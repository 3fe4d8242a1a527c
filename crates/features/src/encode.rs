//! How one category column becomes features.

use rustc_hash::{FxHashMap, FxHashSet};
use schema::{Categories, Encoding, MISSING_LEVEL};
use serde::{Deserialize, Serialize};
use summary::Frequencies;

/// The name of the bucket for rare and unknown levels.
const OTHER: &str = "other";

/// A fitted encoding of one column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CategoryEncoder {
    /// The raw column.
    pub column: String,
    /// How it is encoded.
    pub encoder: Encoder,
    /// The level that takes the place of a missing cell: an index into `levels`.
    pub fill: u32,
    /// One-hot: the levels with a feature each. Ordinal: the levels from low to high.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub levels: Vec<String>,
    /// Levels known but too rare for a feature of their own.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub rare: Vec<String>,
}

/// One-hot or ordinal.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub enum Encoder {
    /// A feature a level; the index of the bucket for rare and unknown levels, if there is one.
    OneHot {
        /// An index into `levels`.
        other: Option<u32>,
    },
    /// One feature: the level's rank from 0.
    Ordinal,
    /// One feature: the level's place, and the number of levels for what is unknown.
    Native,
}

impl CategoryEncoder {
    /// Chooses the levels of a column: `listed` by the schema (empty: any), `counts` in training rows.
    /// `fill` is a configured level for missing cells; the most frequent one otherwise.
    ///
    /// # Errors
    /// If no training row has a level and none is configured.
    pub(crate) fn fit(
        column: &str,
        encoding: Encoding,
        listed: &[String],
        counts: &Frequencies,
        choice: &LevelChoice,
    ) -> Result<Self, String> {
        let known: Vec<String> =
            if listed.is_empty() { counts.levels().into_iter().map(str::to_owned).collect() } else { listed.to_vec() };
        let count = |level: &String| counts.count(level);
        let mut by_count: Vec<&String> = known.iter().collect();
        by_count.sort_by_key(|level| std::cmp::Reverse(count(level)));
        let most_frequent = by_count.first().filter(|level| count(level) > 0).map(|level| (*level).clone());
        let fill = choice.fill.clone().or(most_frequent).ok_or_else(|| {
            format!(
                "column \"{column}\" has no value in any training row, so there is nothing to put in place of a missing one; \
                 add it to engineer.drop, or set engineer.impute.constants.{column}"
            )
        })?;

        let whole = match encoding {
            Encoding::OneHot => None,
            Encoding::Ordinal => Some(Encoder::Ordinal),
            Encoding::Native => Some(Encoder::Native),
        };
        if let Some(encoder) = whole {
            let fill = position(&known, &fill).unwrap_or(0);
            return Ok(Self { column: column.into(), encoder, fill, levels: known, rare: vec![] });
        }
        let capped = known.len() > choice.max_levels;
        let kept: Vec<&String> = by_count.into_iter().take(choice.max_levels).collect();
        let kept: FxHashSet<&str> = kept.into_iter().map(String::as_str).collect();
        let (mut levels, rare): (Vec<String>, Vec<String>) =
            known.iter().cloned().partition(|level| kept.contains(level.as_str()));
        let mut other = None;
        if capped || choice.unknown_to_other || !known.contains(&fill) {
            let place = levels.iter().position(|level| level.eq_ignore_ascii_case(OTHER)).unwrap_or_else(|| {
                levels.push(OTHER.into());
                levels.len() - 1
            });
            other = Some(place as u32);
        }
        let fill = position(&levels, &fill).or(other).unwrap_or(0);
        Ok(Self { column: column.into(), encoder: Encoder::OneHot { other }, fill, levels, rare })
    }

    /// The features' names: `column=level` a level, or the column's own.
    pub fn names(&self) -> Vec<String> {
        match self.encoder {
            Encoder::OneHot { .. } => self.levels.iter().map(|level| format!("{}={level}", self.column)).collect(),
            Encoder::Ordinal | Encoder::Native => vec![self.column.clone()],
        }
    }

    /// Which of `levels` stands for `level`, or for one that nobody knows (`None`); none if it is refused. `to_other` says that
    /// what is unknown shares a bucket.
    pub fn place_of(&self, level: Option<&str>, to_other: bool) -> Option<u32> {
        match (level, self.encoder) {
            (Some(level), _) => self.place(level, to_other),
            (None, Encoder::OneHot { other }) => other.filter(|_| to_other),
            (None, Encoder::Ordinal) => to_other.then_some(self.fill),
            (None, Encoder::Native) => to_other.then_some(self.levels.len() as u32),
        }
    }

    /// Whether every index points somewhere.
    pub(crate) fn is_sound(&self) -> bool {
        let inside = |index: u32| (index as usize) < self.levels.len();
        let other = match self.encoder {
            Encoder::OneHot { other } => other.is_none_or(inside),
            Encoder::Ordinal | Encoder::Native => true,
        };
        other && inside(self.fill)
    }

    /// The columns of the encoding for `values`. `unknown` is called for a level that training did not know where there is
    /// no bucket for it.
    pub(crate) fn encode<E>(
        &self,
        values: &Categories,
        unknown_to_fill: bool,
        unknown: impl Fn(usize, &str) -> E,
    ) -> Result<Vec<Vec<f64>>, E> {
        // a look-up a level of the batch, not a search
        let known: FxHashMap<&str, u32> = self.levels.iter().map(String::as_str).zip(0..).collect();
        let rare: FxHashSet<&str> = self.rare.iter().map(String::as_str).collect();
        let place = |level: &String| {
            let known = known.get(level.as_str()).copied();
            known.or_else(|| self.place_of_other(rare.contains(level.as_str()), unknown_to_fill))
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

    /// Whether training or the schema knew `level`.
    pub(crate) fn knows(&self, level: &str) -> bool {
        self.place(level, false).is_some()
    }

    /// Adds the features of one cell to those of its row; `None` is a missing cell. False if the level is refused.
    pub(crate) fn encode_cell(&self, level: Option<&str>, unknown_to_fill: bool, features: &mut Vec<f64>) -> bool {
        let place = match level {
            None => Some(self.fill),
            Some(level) => self.place(level, unknown_to_fill),
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

    fn place(&self, level: &str, unknown_to_fill: bool) -> Option<u32> {
        let is_rare = || self.rare.iter().any(|rare| rare == level);
        position(&self.levels, level).or_else(|| self.place_of_other(is_rare(), unknown_to_fill))
    }

    /// What stands for a level that has no place of its own.
    fn place_of_other(&self, is_rare: bool, unknown_to_fill: bool) -> Option<u32> {
        match self.encoder {
            Encoder::OneHot { other } if unknown_to_fill || is_rare => other,
            Encoder::Ordinal if unknown_to_fill => Some(self.fill),
            Encoder::Native if unknown_to_fill => Some(self.levels.len() as u32),
            _ => None,
        }
    }
}

/// What decides which levels get a feature.
pub(crate) struct LevelChoice {
    /// A configured level for missing cells.
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
        let choice = LevelChoice { fill: None, max_levels, unknown_to_other };
        CategoryEncoder::fit("x", Encoding::OneHot, &listed, &counts(), &choice).unwrap()
    }

    fn encode(encoder: &CategoryEncoder, level: &str) -> Result<Vec<f64>, String> {
        let values = Categories { codes: vec![0], levels: vec![level.to_owned()] };
        let unknown_to_fill = matches!(encoder.encoder, Encoder::OneHot { other: Some(_) });
        let columns = encoder.encode(&values, unknown_to_fill, |_, level| level.to_owned())?;
        Ok(columns.into_iter().map(|column| column[0]).collect())
    }

    #[test]
    fn listed_levels_each_get_a_feature_even_if_unseen() {
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
    fn places_of_levels_stand_as_they_are_and_the_unknown_behind_them() {
        let choice = LevelChoice { fill: None, max_levels: 2, unknown_to_other: true };
        let encoder = CategoryEncoder::fit("x", Encoding::Native, &[], &counts(), &choice).unwrap();
        assert_eq!(encoder.names(), ["x"]);
        let values = Categories { codes: vec![0, 1, MISSING_LEVEL], levels: vec!["c".into(), "ATLANTIS".into()] };
        assert_eq!(encoder.encode(&values, true, |row, _| row), Ok(vec![vec![2.0, 3.0, 1.0]]));
        assert_eq!(encoder.encode(&values, false, |row, _| row), Err(1));
    }

    #[test]
    fn a_capped_column_still_refuses_what_it_never_saw() {
        let encoder = fit(&[], 2, false);
        let values = Categories { codes: vec![0], levels: vec!["ATLANTIS".into()] };
        assert_eq!(encoder.encode(&values, false, |row, level| (row, level.to_owned())), Err((0, "ATLANTIS".into())));
        let rare = Categories { codes: vec![0, MISSING_LEVEL], levels: vec!["a".into()] };
        let columns = encoder.encode(&rare, false, |row, _| row).unwrap();
        assert_eq!(columns, [vec![0.0, 1.0], vec![0.0, 0.0], vec![1.0, 0.0]]);
    }
}
