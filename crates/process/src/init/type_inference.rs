//! Inference of the type of a column, with reasons.

use std::collections::BTreeMap;

use schema::ColumnType;

use crate::init::observation::{ColumnObservation, DATE_FORMATS, MISSING};

/// Smallest share of numbers in a numeric column; other cells are quarantined or missing.
const NUMERIC_SHARE: f64 = 0.95;
/// Largest number of levels that are listed.
const MAX_LEVELS_LISTED: usize = 60;
/// Share of rows from which on `NA` is a level of a category.
const NA_LEVEL_SHARE: f64 = 0.01;

/// The inferred specification of a column, with reasons for comments.
#[derive(Clone, Debug)]
pub(super) struct InferredColumn {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) format: Option<&'static str>,
    pub(super) range: Option<(f64, f64)>,
    pub(super) levels: Vec<String>,
    /// The column's own missing values, if they differ.
    pub(super) missing: Option<Vec<String>>,
    pub(super) notes: Vec<String>,
}

/// Infers the specification of the column `name`.
pub(super) fn infer_column(name: &str, observation: &ColumnObservation, is_target: bool) -> InferredColumn {
    let mut infer_column = InferredColumn {
        name: name.to_owned(),
        kind: ColumnType::Text,
        format: None,
        range: None,
        levels: vec![],
        missing: None,
        notes: vec![],
    };
    let present = observation.present();
    if observation.absent() > 0 {
        infer_column.notes.push(format!("{} missing", observation.absent()));
    }
    if present == 0 {
        infer_column.notes.push("no values, so not a feature".into());
        return infer_column;
    }
    let numbers = observation.integers + observation.floats;
    if numbers as f64 >= NUMERIC_SHARE * present as f64
        && (is_target || !looks_like_id(name, observation, &mut infer_column.notes))
    {
        number(&mut infer_column, observation, is_target);
    } else if numbers > 0 && numbers as f64 >= NUMERIC_SHARE * present as f64 {
        infer_column.kind = ColumnType::Id;
    } else if let Some(format) = date_format(observation) {
        infer_column.kind = ColumnType::Date;
        infer_column.format = Some(format);
        infer_column.notes.push("not a feature by itself: derive one with year(...) or month(...)".into());
    } else {
        category_or_text(&mut infer_column, observation);
    }
    infer_column
}

fn number(infer_column: &mut InferredColumn, observation: &ColumnObservation, is_target: bool) {
    infer_column.kind = if observation.floats == 0 { ColumnType::Integer } else { ColumnType::Float };
    if let (Some(min), Some(max)) = (observation.min, observation.max) {
        infer_column.notes.push(format!("observed {} to {}", plain(min), plain(max)));
        infer_column.range = Some(with_margin(min, max, is_target));
    }
    if observation.texts > 0 {
        infer_column.notes.push(format!("{} cells are not numbers and will be quarantined", observation.texts));
    }
    let codes = infer_column.kind == ColumnType::Integer && !observation.many && observation.values.len() <= 20;
    if codes && !is_target && observation.min.is_some_and(|min| min >= 10.0) {
        infer_column.notes.push("few distinct numbers: if they are codes, make it a category".into());
    }
}

/// Half of the observed span on either side; a column without negative values keeps 0 as its limit.
fn with_margin(min: f64, max: f64, is_target: bool) -> (f64, f64) {
    let margin = ((max - min) / 2.0).max(1.0);
    let mut low = (min - margin).floor();
    if min >= 0.0 {
        low = low.max(0.0);
    }
    // the observed maximum of a target says little about its limit
    let high = if is_target { max + 4.0 * margin } else { max + margin };
    (low, high.ceil())
}

fn looks_like_id(name: &str, observation: &ColumnObservation, notes: &mut Vec<String>) -> bool {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|character: char| !character.is_alphanumeric()).collect();
    let named = words.iter().any(|word| matches!(*word, "id" | "pid" | "uuid" | "key" | "index" | "order" | "rowid"))
        || lower.ends_with("id") && lower.len() <= 4;
    let distinct = observation.distinct_share() > 0.9 && observation.present() > 20;
    if named && distinct {
        notes.push("named like an id, and almost all values differ".into());
        return true;
    }
    if observation.leading_zeros > 0 && observation.floats == 0 {
        notes.push("numbers with leading zeros: codes".into());
        return true;
    }
    false
}

fn date_format(observation: &ColumnObservation) -> Option<&'static str> {
    let best = observation.dates.iter().zip(DATE_FORMATS).max_by_key(|(count, _)| **count)?;
    let first_best = observation.dates.iter().position(|count| count == best.0)?;
    (*best.0 as f64 >= NUMERIC_SHARE * observation.present() as f64).then_some(DATE_FORMATS[first_best])
}

fn category_or_text(infer_column: &mut InferredColumn, observation: &ColumnObservation) {
    let levels = canonical_levels(observation);
    let repeated = levels.len() as f64 <= 0.5 * observation.present() as f64;
    if observation.many || !repeated {
        let distinct = if observation.many { "very many".to_owned() } else { levels.len().to_string() };
        infer_column.notes.push(format!("{distinct} different texts: not a feature"));
        return;
    }
    infer_column.kind = ColumnType::Category;
    let na = observation.missing.get("NA").copied().unwrap_or(0);
    let na_is_level = na as f64 >= NA_LEVEL_SHARE * observation.rows as f64;
    if na_is_level {
        infer_column.notes.push(format!("NA in {na} rows, so it is a level of its own"));
        infer_column.missing =
            Some(MISSING.iter().filter(|token| **token != "NA").map(|token| (*token).to_owned()).collect());
    }
    if levels.len() > MAX_LEVELS_LISTED {
        infer_column.notes.push(format!("{} levels, fitted on training rows", levels.len()));
    } else {
        infer_column.levels = levels;
        if na_is_level && !infer_column.levels.iter().any(|level| level == "NA") {
            infer_column.levels.push("NA".into());
        }
    }
}

/// The levels in their most frequent spelling (case and whitespace are ignored), in alphabetical order.
fn canonical_levels(observation: &ColumnObservation) -> Vec<String> {
    let mut spellings: BTreeMap<String, Vec<(&String, u64)>> = BTreeMap::new();
    for (cell, count) in &observation.values {
        let normalized = cell.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        spellings.entry(normalized).or_default().push((cell, *count));
    }
    let best = |mut group: Vec<(&String, u64)>| {
        group.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        group[0].0.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    spellings.into_values().map(best).collect()
}

/// A number without exponent where possible.
pub(super) fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer(name: &str, cells: &[&str]) -> InferredColumn {
        let mut observation = ColumnObservation::default();
        for _ in 0..30 {
            cells.iter().for_each(|cell| observation.add(cell));
        }
        infer_column(name, &observation, false)
    }

    #[test]
    fn types_are_inferred() {
        assert_eq!(infer("a", &["1", "2", "?"]).kind, ColumnType::Integer);
        assert_eq!(infer("a", &["1.5", "2"]).kind, ColumnType::Float);
        assert_eq!(infer("zip", &["01234", "98001"]).kind, ColumnType::Id);
        assert_eq!(infer("a", &["10/13/2014", "12/09/2014"]).format, Some("%m/%d/%Y"));
        assert_eq!(infer("a", &["", "NA"]).kind, ColumnType::Text);
        let ids: Vec<String> = (0..100).map(|id| id.to_string()).collect();
        let mut observation = ColumnObservation::default();
        ids.iter().for_each(|id| observation.add(id));
        assert_eq!(infer_column("Id", &observation, false).kind, ColumnType::Id);
        assert_eq!(infer_column("lot", &observation, false).kind, ColumnType::Integer);
    }

    #[test]
    fn a_frequent_na_is_a_level_and_spellings_are_merged() {
        let alley = infer("Alley", &["NA", "Grvl", "Pave", "pave", "Pave", "Grvl "]);
        assert_eq!(alley.levels, ["Grvl", "Pave", "NA"]);
        assert!(!alley.missing.unwrap().contains(&"NA".to_owned()));
    }

    #[test]
    fn ranges_have_a_margin() {
        assert_eq!(with_margin(10.0, 30.0, false), (0.0, 40.0));
        assert_eq!(with_margin(-10.0, 10.0, false), (-20.0, 20.0));
        assert_eq!(with_margin(100.0, 200.0, true), (50.0, 400.0));
    }
}
