//! What a column probably is, and why.

use std::collections::BTreeMap;

use schema::ColumnType;

use crate::init::observation::{DATE_FORMATS, MISSING, Observed};

/// A column is numeric if at least this share of its cells is: the rest is quarantined, or missing.
const NUMERIC_SHARE: f64 = 0.95;
/// A category with more levels than this is left without a list.
const MAX_LISTED: usize = 60;
/// `NA` in a category is a level of its own from this share of rows on.
const NA_LEVEL_SHARE: f64 = 0.01;

/// A guess, with the reasons for the YAML's comment.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) format: Option<&'static str>,
    pub(super) range: Option<(f64, f64)>,
    pub(super) levels: Vec<String>,
    /// The column's own list of missing cells, where it differs.
    pub(super) missing: Option<Vec<String>>,
    pub(super) notes: Vec<String>,
}

/// Guesses what the column called `name` is.
pub(super) fn guess(name: &str, seen: &Observed, is_target: bool) -> Guess {
    let mut guess = Guess {
        name: name.to_owned(),
        kind: ColumnType::Text,
        format: None,
        range: None,
        levels: vec![],
        missing: None,
        notes: vec![],
    };
    let present = seen.present();
    if seen.absent() > 0 {
        guess.notes.push(format!("{} missing", seen.absent()));
    }
    if present == 0 {
        guess.notes.push("no value at all, so not a feature".into());
        return guess;
    }
    let numbers = seen.integers + seen.floats;
    if numbers as f64 >= NUMERIC_SHARE * present as f64 && (is_target || !looks_like_id(name, seen, &mut guess.notes)) {
        number(&mut guess, seen, is_target);
    } else if numbers > 0 && numbers as f64 >= NUMERIC_SHARE * present as f64 {
        guess.kind = ColumnType::Id;
    } else if let Some(format) = date_format(seen) {
        guess.kind = ColumnType::Date;
        guess.format = Some(format);
        guess.notes.push("not a feature by itself: derive one with year(...) or month(...)".into());
    } else {
        category_or_text(&mut guess, seen);
    }
    guess
}

fn number(guess: &mut Guess, seen: &Observed, is_target: bool) {
    guess.kind = if seen.floats == 0 { ColumnType::Integer } else { ColumnType::Float };
    if let (Some(min), Some(max)) = (seen.min, seen.max) {
        guess.notes.push(format!("seen {} to {}", plain(min), plain(max)));
        guess.range = Some(with_slack(min, max, is_target));
    }
    if seen.texts > 0 {
        guess.notes.push(format!("{} cells are not numbers and will be quarantined", seen.texts));
    }
    let codes = guess.kind == ColumnType::Integer && !seen.many && seen.values.len() <= 20;
    if codes && !is_target && seen.min.is_some_and(|min| min >= 10.0) {
        guess.notes.push("few distinct numbers: if they are codes, make it a category".into());
    }
}

/// Half the observed span to either side; what was never negative stays so.
fn with_slack(min: f64, max: f64, is_target: bool) -> (f64, f64) {
    let slack = ((max - min) / 2.0).max(1.0);
    let mut low = (min - slack).floor();
    if min >= 0.0 {
        low = low.max(0.0);
    }
    // a target has no natural upper limit that its rows would show
    let high = if is_target { max + 4.0 * slack } else { max + slack };
    (low, high.ceil())
}

fn looks_like_id(name: &str, seen: &Observed, notes: &mut Vec<String>) -> bool {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower.split(|character: char| !character.is_alphanumeric()).collect();
    let named = words.iter().any(|word| matches!(*word, "id" | "pid" | "uuid" | "key" | "index" | "order" | "rowid"))
        || lower.ends_with("id") && lower.len() <= 4;
    let distinct = seen.distinct_share() > 0.9 && seen.present() > 20;
    if named && distinct {
        notes.push("named like an id and nearly all different".into());
        return true;
    }
    if seen.leading_zeros > 0 && seen.floats == 0 {
        notes.push("numbers with leading zeros: codes".into());
        return true;
    }
    false
}

fn date_format(seen: &Observed) -> Option<&'static str> {
    let best = seen.dates.iter().zip(DATE_FORMATS).max_by_key(|(count, _)| **count)?;
    let first_best = seen.dates.iter().position(|count| count == best.0)?;
    (*best.0 as f64 >= NUMERIC_SHARE * seen.present() as f64).then_some(DATE_FORMATS[first_best])
}

fn category_or_text(guess: &mut Guess, seen: &Observed) {
    let levels = canonical(seen);
    let repeated = levels.len() as f64 <= 0.5 * seen.present() as f64;
    if seen.many || !repeated {
        let distinct = if seen.many { "very many".to_owned() } else { levels.len().to_string() };
        guess.notes.push(format!("{distinct} different texts: not a feature"));
        return;
    }
    guess.kind = ColumnType::Category;
    let na = seen.missing.get("NA").copied().unwrap_or(0);
    let na_is_level = na as f64 >= NA_LEVEL_SHARE * seen.rows as f64;
    if na_is_level {
        guess.notes.push(format!("NA in {na} rows, so it is taken for a level of its own"));
        guess.missing = Some(MISSING.iter().filter(|token| **token != "NA").map(|token| (*token).to_owned()).collect());
    }
    if levels.len() > MAX_LISTED {
        guess.notes.push(format!("{} levels, learned from training rows", levels.len()));
    } else {
        guess.levels = levels;
        if na_is_level && !guess.levels.iter().any(|level| level == "NA") {
            guess.levels.push("NA".into());
        }
    }
}

/// The levels, each in its most frequent spelling (case and blanks do not count), in alphabetical order.
fn canonical(seen: &Observed) -> Vec<String> {
    let mut spellings: BTreeMap<String, Vec<(&String, u64)>> = BTreeMap::new();
    for (cell, count) in &seen.values {
        let folded = cell.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        spellings.entry(folded).or_default().push((cell, *count));
    }
    let best = |mut group: Vec<(&String, u64)>| {
        group.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        group[0].0.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    spellings.into_values().map(best).collect()
}

/// A number as people write it.
pub(super) fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, cells: &[&str]) -> Guess {
        let mut seen = Observed::default();
        for _ in 0..30 {
            cells.iter().for_each(|cell| seen.add(cell));
        }
        guess(name, &seen, false)
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(of("a", &["1", "2", "?"]).kind, ColumnType::Integer);
        assert_eq!(of("a", &["1.5", "2"]).kind, ColumnType::Float);
        assert_eq!(of("zip", &["01234", "98001"]).kind, ColumnType::Id);
        assert_eq!(of("a", &["10/13/2014", "12/09/2014"]).format, Some("%m/%d/%Y"));
        assert_eq!(of("a", &["", "NA"]).kind, ColumnType::Text);
        let ids: Vec<String> = (0..100).map(|id| id.to_string()).collect();
        let mut seen = Observed::default();
        ids.iter().for_each(|id| seen.add(id));
        assert_eq!(guess("Id", &seen, false).kind, ColumnType::Id);
        assert_eq!(guess("lot", &seen, false).kind, ColumnType::Integer);
    }

    #[test]
    fn a_frequent_na_is_a_level_and_spellings_are_one() {
        let alley = of("Alley", &["NA", "Grvl", "Pave", "pave", "Pave", "Grvl "]);
        assert_eq!(alley.levels, ["Grvl", "Pave", "NA"]);
        assert!(!alley.missing.unwrap().contains(&"NA".to_owned()));
    }

    #[test]
    fn ranges_have_slack() {
        assert_eq!(with_slack(10.0, 30.0, false), (0.0, 40.0));
        assert_eq!(with_slack(-10.0, 10.0, false), (-20.0, 20.0));
        assert_eq!(with_slack(100.0, 200.0, true), (50.0, 400.0));
    }
}
