//! The fitted preprocessor: raw columns to features.

use rustc_hash::{FxHashMap, FxHashSet};
use schema::{Categories, EngineerSection, OrderedMap, Schema, SettingError, Table, TableSection, UnknownCategory, Values};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    encoder::{CategoryEncoder, Encoder},
    expression::Program,
    plan::Plan,
};

/// Largest number of features.
const MAX_FEATURES: usize = 20_000;

/// The stored form of a preprocessor. [`Preprocessor::from_file`] validates it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PreprocessorFile {
    /// The raw table's schema.
    pub table: TableSection,
    /// The value of `reference_year`.
    pub reference_year: Option<i32>,
    /// Derived features: name and expression.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub derive: Vec<(String, String)>,
    /// Numeric features in the order of the feature file.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub numbers: Vec<NumberFeature>,
    /// Category columns in the order of the feature file.
    #[serde(deserialize_with = "schema::bounded_list")]
    pub categories: Vec<CategoryEncoder>,
    /// Treatment of a level that is neither in the schema nor in the training rows.
    pub unknown: UnknownCategory,
    /// Number of training rows.
    pub train_rows: u64,
}

/// A numeric feature: a raw column or a derived one.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NumberFeature {
    /// Name of the feature.
    pub name: String,
    /// Replacement of a missing value, in the column's unit.
    pub fill: f64,
}

/// A row that cannot be transformed to features.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("column \"{column}\": {reason}")]
pub struct RowError {
    /// Index of the row in the table, from 0.
    pub row: usize,
    /// The invalid column.
    pub column: String,
    /// The reason, with the value and what is allowed.
    pub reason: String,
}

/// A validated preprocessor.
#[derive(Clone, Debug)]
pub struct Preprocessor {
    pub(crate) file: PreprocessorFile,
    pub(crate) plan: Plan,
    /// Indices of the numeric features in the plan's inputs.
    pub(crate) places: Vec<usize>,
    /// For each category of the file, the index of its column in [`columns`](Self::columns).
    pub(crate) category_places: Vec<usize>,
    names: Vec<String>,
}

impl Preprocessor {
    /// Validates expressions, names and all indices of a stored preprocessor.
    ///
    /// # Errors
    /// If a part is invalid or inconsistent.
    pub fn from_file(file: PreprocessorFile) -> Result<Self, SettingError> {
        let schema = Schema::from_section(&file.table)?;
        let section = EngineerSection {
            reference_year: file.reference_year,
            derive: OrderedMap(file.derive.clone()),
            ..EngineerSection::default()
        };
        let plan = Plan::from_section(&schema, &section)?;
        let error = |message: String| SettingError::new(&["preprocessor"], message);
        let mut places = Vec::new();
        for feature in &file.numbers {
            let place = plan.inputs.index_of(&feature.name);
            let place = place.filter(|_| !feature.fill.is_infinite());
            places.push(place.ok_or_else(|| error(format!("the numeric feature \"{}\" cannot be computed", feature.name)))?);
        }
        let mut category_places = Vec::new();
        let places_of_columns: FxHashMap<&str, usize> = plan.columns().map(|column| column.name.as_str()).zip(0..).collect();
        let category_columns: FxHashSet<&str> = plan.categories.iter().map(|(column, _)| column.as_str()).collect();
        for category in &file.categories {
            let place = places_of_columns.get(category.column.as_str()).copied();
            match place.filter(|_| category_columns.contains(category.column.as_str()) && category.is_valid()) {
                Some(place) => category_places.push(place),
                None => return Err(error(format!("the encoding of \"{}\" is invalid", category.column))),
            }
        }
        let numbers = file.numbers.iter().map(|feature| feature.name.clone());
        let names: Vec<String> = numbers.chain(file.categories.iter().flat_map(CategoryEncoder::names)).collect();
        if names.len() > MAX_FEATURES {
            let message = format!(
                "there are {} features; at most {MAX_FEATURES} are allowed. Lower engineer.encode.max_levels, or drop columns",
                names.len()
            );
            return Err(SettingError::new(&["engineer"], message));
        }
        let mut known = FxHashSet::default();
        if let Some(name) = names.iter().find(|name| !known.insert(name.as_str())) {
            return Err(error(format!("two features are called \"{name}\"")));
        }
        Ok(Self { file, plan, places, category_places, names })
    }

    /// The stored form.
    pub fn file(&self) -> &PreprocessorFile {
        &self.file
    }

    /// The raw table's schema.
    pub fn schema(&self) -> &Schema {
        &self.plan.schema
    }

    /// Raw columns that features use.
    pub fn columns(&self) -> impl Iterator<Item = &schema::Column> {
        self.plan.columns()
    }

    /// Inputs before imputation: the raw columns that are numbers or dates, then the derived features with their programs over earlier
    /// inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, Option<&Program>)> {
        self.plan.inputs()
    }

    /// Names of the features, in order.
    pub fn feature_names(&self) -> &[String] {
        &self.names
    }

    /// True if the feature called `name` is always 0 or 1.
    pub fn is_indicator(&self, name: &str) -> bool {
        self.file.categories.iter().any(|category| {
            matches!(category.encoder, Encoder::OneHot { .. })
                && name.strip_prefix(&category.column).is_some_and(|rest| rest.starts_with('='))
        })
    }

    /// True if the feature called `name` holds indices of levels, without a meaningful order.
    pub fn is_categorical(&self, name: &str) -> bool {
        self.file.categories.iter().any(|category| category.encoder == Encoder::Native && category.column == name)
    }

    /// The levels whose indices the feature called `name` holds, in order; `None` for other features.
    pub fn native_levels(&self, name: &str) -> Option<&[String]> {
        let category = self.file.categories.iter().find(|category| category.column == name)?;
        (category.encoder == Encoder::Native).then_some(category.levels.as_slice())
    }

    /// Names of the raw columns that the feature called `name` depends on, in the order of the schema.
    pub fn raw_columns(&self, name: &str) -> Vec<&str> {
        // the features of a category are named by the column, or by column and level
        let is_of = |category: &&CategoryEncoder| match category.encoder {
            Encoder::OneHot { .. } => name
                .strip_prefix(category.column.as_str())
                .and_then(|rest| rest.strip_prefix('='))
                .is_some_and(|level| category.levels.iter().any(|known| known == level)),
            Encoder::Ordinal | Encoder::Native => category.column == name,
        };
        if let Some(category) = self.file.categories.iter().find(is_of) {
            return vec![category.column.as_str()];
        }
        match self.plan.inputs.index_of(name) {
            Some(place) => self.plan.inputs.origins(place),
            None => self.schema().column(name).map(|column| column.name.as_str()).into_iter().collect(),
        }
    }

    /// Transforms all rows: one column per feature, in the order of [`feature_names`](Self::feature_names). A raw column that `table` lacks
    /// is missing in all rows.
    ///
    /// # Errors
    /// With the first row that has an unknown level, if these are rejected.
    pub fn transform(&self, table: &Table) -> Result<Vec<Vec<f64>>, RowError> {
        let mut inputs = self.plan.compute(table);
        let mut features = Vec::with_capacity(self.names.len());
        for (place, feature) in self.places.iter().zip(&self.file.numbers) {
            let mut values = std::mem::take(&mut inputs[*place]);
            values.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = feature.fill);
            features.push(values);
        }
        for category in &self.file.categories {
            let absent = Categories { codes: vec![schema::MISSING_LEVEL; table.rows()], levels: vec![] };
            let values = match table.get(&category.column) {
                Some(Values::Category(values)) => values,
                _ => &absent,
            };
            let unknown = |row, level: &str| unknown_level(row, category, level);
            features.extend(category.encode(values, self.file.unknown == UnknownCategory::Other, unknown)?);
        }
        Ok(features)
    }

    /// An error for each unknown level: one per row and column.
    pub fn unknown_levels(&self, table: &Table) -> Vec<RowError> {
        let mut errors = Vec::new();
        for category in &self.file.categories {
            let Some(Values::Category(values)) = table.get(&category.column) else { continue };
            let unknown: Vec<bool> = values.levels.iter().map(|level| !category.knows(level)).collect();
            for (row, code) in values.codes.iter().enumerate() {
                if unknown.get(*code as usize) == Some(&true) {
                    errors.push(unknown_level(row, category, &values.levels[*code as usize]));
                }
            }
        }
        errors
    }
}

pub(crate) fn unknown_level(row: usize, category: &CategoryEncoder, level: &str) -> RowError {
    let mut known: Vec<&str> = category.levels.iter().chain(&category.rare).map(String::as_str).collect();
    known.sort_unstable();
    let near =
        schema::closest_match(level, known.iter().copied()).map_or(String::new(), |near| format!("; nearest: {near}"));
    let shown = known.iter().take(20).copied().collect::<Vec<_>>().join(", ");
    let more = if known.len() > 20 { format!(" and {} more", known.len() - 20) } else { String::new() };
    RowError {
        row,
        column: category.column.clone(),
        reason: format!("{} is not one of the levels in training: {shown}{more}{near}", schema::quoted(level)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fit::Fitter, plan::Plan};
    use schema::{MISSING_LEVEL, PipelineConfig};

    const ENGINEER: &str =
        "engineer:\n  reference_year: 2026\n  derive: {age: reference_year - built, ratio: rooms / baths}\n";

    fn plan(extra: &str) -> Plan {
        let text = format!(
            "table:\n  target: price\n  columns:\n    price: {{type: float}}\n    rooms: {{type: integer}}\n    baths: {{type: float}}\n    \
             built: {{type: integer}}\n    place: {{type: category, levels: [Rural, Urban]}}\n    state: {{type: category, levels: \
             [Poor, Good], ordered: true}}\n{ENGINEER}{extra}"
        );
        let config = PipelineConfig::parse(&text).unwrap();
        Plan::from_section(&Schema::from_section(&config.table).unwrap(), &config.engineer).unwrap()
    }

    fn table(rooms: &[f64], baths: &[f64], place: &[u32]) -> Table {
        let mut table = Table::new(rooms.len());
        table.push("rooms", Values::Number(rooms.to_vec()));
        table.push("baths", Values::Number(baths.to_vec()));
        table.push("built", Values::Number(vec![2000.0; rooms.len()]));
        let levels = vec!["Urban".into(), "Rural".into(), "Atlantis".into()];
        table.push("place", Values::Category(Categories { codes: place.to_vec(), levels }));
        let state = Categories { codes: vec![0; rooms.len()], levels: vec!["Good".into()] };
        table.push("state", Values::Category(state));
        table
    }

    fn fitted(plan: &Plan, train: &[bool]) -> Preprocessor {
        let mut fitter = Fitter::new(plan);
        fitter.update(&table(&[2.0, 3.0, 9.0, 100.0], &[1.0, 0.0, 3.0, 1.0], &[0, 1, 0, 1]), train);
        fitter.finish().unwrap()
    }

    #[test]
    fn features_are_named_and_missing_values_filled() {
        let preprocessor = fitted(&plan(""), &[true, true, true, false]);
        let expected = ["rooms", "baths", "built", "age", "ratio", "place=Rural", "place=Urban", "state"];
        assert_eq!(preprocessor.feature_names(), expected);
        let features = preprocessor.transform(&table(&[f64::NAN], &[0.0], &[MISSING_LEVEL])).unwrap();
        let row: Vec<f64> = features.iter().map(|column| column[0]).collect();
        // medians of 2, 3, 9 and of 2 / 1 and 9 / 3 (3 / 0 is missing); Urban is the most frequent place
        assert_eq!(row, [3.0, 0.0, 2000.0, 26.0, 2.5, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn raw_columns_of_features_are_known() {
        let preprocessor = fitted(&plan(""), &[true; 4]);
        let raw = |name: &str| preprocessor.raw_columns(name).join(" ");
        let errors = ["rooms", "age", "ratio", "place=Urban", "state", "nothing"].map(raw);
        assert_eq!(errors, ["rooms", "built", "rooms baths", "place", "state", ""]);
    }

    #[test]
    fn test_rows_do_not_affect_the_fit() {
        let plan = plan("");
        let mut fitter = Fitter::new(&plan);
        fitter.update(&table(&[2.0, 3.0, 9.0, -5.0], &[1.0, 0.0, 3.0, 7.0], &[0, 1, 0, 0]), &[true, true, true, false]);
        assert_eq!(fitter.finish().unwrap().file(), fitted(&plan, &[true, true, true, false]).file());
    }

    #[test]
    fn a_row_has_the_same_features_alone_and_in_a_table() {
        let preprocessor = fitted(&plan("  impute: {number: mean}\n"), &[true; 4]);
        let (rooms, baths, place) = ([1.0, f64::NAN, 7.5, 3.0], [0.0, 2.0, f64::NAN, 0.3], [1, 0, MISSING_LEVEL, 1]);
        let together = preprocessor.transform(&table(&rooms, &baths, &place)).unwrap();
        for row in 0..4 {
            let alone = preprocessor.transform(&table(&rooms[row..=row], &baths[row..=row], &place[row..=row])).unwrap();
            for (alone, together) in alone.iter().zip(&together) {
                assert_eq!(alone[0].to_bits(), together[row].to_bits());
            }
        }
    }

    #[test]
    fn unknown_levels_are_rejected_or_share_a_bucket() {
        let atlantis = table(&[1.0, 1.0], &[1.0, 1.0], &[0, 2]);
        let rejecting = fitted(&plan(""), &[true; 4]);
        let rejection = rejecting.transform(&atlantis).unwrap_err();
        assert_eq!(
            rejection.to_string(),
            "column \"place\": \"Atlantis\" is not one of the levels in training: Rural, Urban"
        );
        assert_eq!(rejecting.unknown_levels(&atlantis), [rejection]);
        let bucket = fitted(&plan("  unknown_category: other\n"), &[true; 4]);
        assert_eq!(bucket.feature_names()[5..8], ["place=Rural", "place=Urban", "place=other"]);
        assert_eq!(bucket.transform(&atlantis).unwrap()[7], [0.0, 1.0]);
        assert_eq!(bucket.unknown_levels(&atlantis).len(), 1);
    }
}
