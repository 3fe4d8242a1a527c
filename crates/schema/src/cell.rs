//! Validation of one cell by the schema of its column.

use std::borrow::Cow;

use jiff::civil::Date;
use thiserror::Error;

use crate::{
    column::{Column, normalize_spelling},
    config::pipeline::ColumnType,
    name::{quoted, unprintable},
    rule::Rule,
};

/// The reason why a cell is invalid.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{reason}")]
pub struct Violation {
    /// The rule that the cell breaks.
    pub rule: Rule,
    /// The reason, with the value and what is allowed.
    pub reason: String,
}

impl Violation {
    fn new(rule: Rule, reason: impl Into<String>) -> Self {
        Self { rule, reason: reason.into() }
    }
}

/// Largest absolute value up to which all integers are exact in a 64-bit float: 2^53.
pub const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

impl Column {
    /// True if `cell` (already trimmed) is a missing value.
    pub fn is_missing(&self, cell: &str) -> bool {
        self.missing_cells.contains(cell)
    }

    /// The texts of missing values, compared after trimming.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The format of dates in strftime's notation.
    pub fn date_format(&self) -> &str {
        self.spec.format.as_deref().unwrap_or("%Y-%m-%d")
    }

    /// True if a text of a missing value is also a number, such as -999.
    pub fn has_numeric_missing(&self) -> bool {
        self.missing_first
    }

    /// Parses and validates a `float` or `integer` cell, or a `date` cell to days since 1970-01-01. `None` for a missing value.
    ///
    /// # Errors
    /// If the cell is not a number or date, is out of range, or is missing but required.
    #[inline]
    pub fn number(&self, cell: &str) -> Result<Option<f64>, Violation> {
        let cell = cell.trim();
        if self.missing_first && self.is_missing(cell) {
            return self.missing_result();
        }
        let parsed = match self.spec.kind {
            ColumnType::Date => self.parse_date(cell),
            _ => cell.parse().ok().filter(|value: &f64| value.is_finite()),
        };
        match parsed {
            Some(value) => self.check_number(value).map(Some),
            None if self.is_missing(cell) => self.missing_result(),
            None => Err(self.unreadable(cell)),
        }
    }

    /// Checks that a missing value is allowed.
    ///
    /// # Errors
    /// If the column is required.
    pub fn check_missing(&self) -> Result<(), Violation> {
        self.missing_result::<()>().map(|_| ())
    }

    /// True if a number is in range, and an integer where the column requires it.
    #[inline]
    pub fn accepts(&self, value: f64) -> bool {
        let is_whole = value.fract() == 0.0 && value.abs() <= MAX_EXACT_INTEGER;
        let above = self.spec.min.is_none_or(|min| value >= min);
        let below = self.spec.max.is_none_or(|max| value <= max);
        above && below && (is_whole || self.spec.kind != ColumnType::Integer)
    }

    /// The level whose exact spelling, or alias, is `text`.
    #[inline]
    pub fn listed_level(&self, text: &str) -> Option<&str> {
        self.spellings.get(text).map(|code| self.spec.levels[*code as usize].as_str())
    }

    /// Validates a number: its range, and integers where the column requires it.
    ///
    /// # Errors
    /// If the number is out of range or not an integer.
    pub fn check_number(&self, value: f64) -> Result<f64, Violation> {
        if self.accepts(value) {
            return Ok(value);
        }
        if self.spec.kind == ColumnType::Integer && (value.fract() != 0.0 || value.abs() > MAX_EXACT_INTEGER) {
            return Err(Violation::new(Rule::Integer, format!("{value} is not an integer")));
        }
        if let Some(min) = self.spec.min
            && value < min
        {
            return Err(Violation::new(Rule::Minimum, format!("{value} is below the minimum {min}")));
        }
        if let Some(max) = self.spec.max
            && value > max
        {
            return Err(Violation::new(Rule::Maximum, format!("{value} is above the maximum {max}")));
        }
        Ok(value)
    }

    /// Validates a `category` cell and returns the level in the spelling of the schema, or the text of an `id` or `text` cell. `None` for a
    /// missing value. Without listed levels, a level keeps its own spelling with whitespace collapsed.
    ///
    /// # Errors
    /// If the level is not listed, or the cell is missing but required.
    pub fn text<'a>(&'a self, cell: &'a str) -> Result<Option<Cow<'a, str>>, Violation> {
        self.check_text(cell).map_err(|rule| match rule {
            Rule::Level => self.unknown_level(cell.trim()),
            Rule::Printable => unprintable_level(&collapse_whitespace(cell.trim())),
            _ => missing_value(),
        })
    }

    /// Like [`text`](Self::text), but an error is only the broken rule, without a message.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn check_text<'a>(&'a self, cell: &'a str) -> Result<Option<Cow<'a, str>>, Rule> {
        let trimmed = cell.trim();
        let missing = || if self.spec.required { Err(Rule::Required) } else { Ok(None) };
        if self.spec.kind == ColumnType::Category {
            // most cells have the exact spelling of the schema
            let known = self.spellings.get(trimmed).or_else(|| self.spellings.get(&normalize_spelling(trimmed)));
            if let Some(code) = known {
                return Ok(Some(Cow::Borrowed(&self.spec.levels[*code as usize])));
            }
            if self.is_missing(trimmed) {
                return missing();
            }
            if !self.spec.levels.is_empty() {
                return Err(Rule::Level);
            }
            let level = collapse_whitespace(trimmed);
            return if crate::name::check_name(&level).is_ok() { Ok(Some(level)) } else { Err(Rule::Printable) };
        }
        if self.is_missing(trimmed) { missing() } else { Ok(Some(Cow::Borrowed(trimmed))) }
    }

    /// The violation of an unknown level, with the levels and the closest match.
    pub fn unknown_level(&self, cell: &str) -> Violation {
        let levels = &self.spec.levels;
        let shown = levels.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if levels.len() > 20 { format!(" and {} more", levels.len() - 20) } else { String::new() };
        let hint = closest_match(cell, levels.iter().map(String::as_str))
            .map_or(String::new(), |near| format!("; nearest: {near}"));
        Violation::new(Rule::Level, format!("{} is not one of the levels {shown}{more}{hint}", quoted(cell)))
    }

    fn missing_result<T>(&self) -> Result<Option<T>, Violation> {
        if self.spec.required { Err(missing_value()) } else { Ok(None) }
    }

    fn unreadable(&self, cell: &str) -> Violation {
        match self.spec.kind {
            ColumnType::Date => {
                Violation::new(Rule::Date, format!("{} is not a date of the form {}", quoted(cell), self.date_format()))
            }
            ColumnType::Integer => Violation::new(Rule::Integer, format!("{} is not an integer", quoted(cell))),
            _ => Violation::new(Rule::Number, format!("{} is not a number", quoted(cell))),
        }
    }

    /// Parses a date in the column's format or in ISO 8601; a time of day is ignored.
    fn parse_date(&self, cell: &str) -> Option<f64> {
        Date::strptime(self.date_format(), cell).or_else(|_| cell.parse()).ok().map(days_since_epoch)
    }
}

/// True if `cell` is a date in `format` (strftime's notation).
pub fn is_date(cell: &str, format: &str) -> bool {
    Date::strptime(format, cell).is_ok()
}

/// The day `days` after 1970-01-01 in ISO 8601, for example `2014-10-13`.
pub fn iso_date(days: f64) -> String {
    let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days as i64));
    date.map_or_else(|_| days.to_string(), |date| date.to_string())
}

/// The number of days from 1970-01-01 to `date`.
fn days_since_epoch(date: Date) -> f64 {
    let epoch = Date::constant(1970, 1, 1);
    epoch.until(date).map_or(f64::NAN, |span| f64::from(span.get_days()))
}

/// Longest text, in bytes, that is compared with candidates.
const MAX_TYPO_BYTES: usize = 200;
/// Largest number of candidates that are compared.
const MAX_CANDIDATES: usize = 10_000;
/// Smallest similarity of a match, from 0 to 1 (equal).
const MIN_SIMILARITY: f64 = 0.6;

/// The violation of a missing value in a required column.
fn missing_value() -> Violation {
    Violation::new(Rule::Required, "is missing, and the column is required")
}

/// The violation of a text that cannot be a level.
fn unprintable_level(level: &str) -> Violation {
    let what = match unprintable(level) {
        Some(character) => format!("holds U+{:04X}, which cannot be printed", u32::from(character)),
        None => format!("is longer than the {} bytes that a level may have", crate::name::MAX_NAME_BYTES),
    };
    Violation::new(Rule::Printable, format!("{} {what}", quoted(level)))
}

/// The candidate that is most similar to `typed`; `None` if none is similar enough.
///
/// Long texts are never similar, because the comparison takes the product of both lengths.
pub fn closest_match<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > MAX_TYPO_BYTES {
        return None;
    }
    let typed = normalize_spelling(typed);
    let length = typed.chars().count() as f64;
    candidates
        .filter(|candidate| candidate.len() <= MAX_TYPO_BYTES)
        .take(MAX_CANDIDATES)
        .filter_map(|candidate| {
            let normalized = normalize_spelling(candidate);
            let other = normalized.chars().count() as f64;
            // a large difference in length excludes similarity
            let near = length.min(other) >= MIN_SIMILARITY * length.max(other);
            near.then(|| (strsim::normalized_damerau_levenshtein(&typed, &normalized), candidate))
        })
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn collapse_whitespace(text: &str) -> Cow<'_, str> {
    let blanks = text.as_bytes().windows(2).any(|pair| pair.iter().all(u8::is_ascii_whitespace));
    if blanks || text.contains(['\n', '\r', '\t']) {
        Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        column::{Column, Schema},
        config::pipeline::PipelineConfig,
    };

    fn column(spec: &str) -> Column {
        let text = format!("table:\n  target: price\n  columns:\n    price: {{type: float}}\n    c: {spec}\n");
        Schema::from_section(&PipelineConfig::parse(&text).unwrap().table).unwrap().column("c").unwrap().clone()
    }

    fn number(spec: &str, cell: &str) -> Result<Option<f64>, String> {
        column(spec).number(cell).map_err(|violation| violation.to_string())
    }

    fn text(spec: &str, cell: &str) -> Result<Option<String>, String> {
        let result = column(spec).text(cell).map(|text| text.map(std::borrow::Cow::into_owned));
        result.map_err(|violation| violation.to_string())
    }

    #[test]
    fn numbers_are_parsed_and_validated() {
        assert_eq!(number("{type: float}", " 3.5 "), Ok(Some(3.5)));
        assert_eq!(number("{type: float}", "NA"), Ok(None));
        assert_eq!(number("{type: float, missing: ['', '-999']}", "-999"), Ok(None));
        assert_eq!(number("{type: float}", "inf"), Err("\"inf\" is not a number".into()));
        assert_eq!(number("{type: float}", "1,200"), Err("\"1,200\" is not a number".into()));
        assert_eq!(number("{type: integer}", "3.0"), Ok(Some(3.0)));
        assert_eq!(number("{type: integer}", "3.5"), Err("3.5 is not an integer".into()));
        assert_eq!(number("{type: integer, max: 15}", "33"), Err("33 is above the maximum 15".into()));
        assert_eq!(number("{type: integer, min: 0}", "-1"), Err("-1 is below the minimum 0".into()));
        assert_eq!(number("{type: float, required: true}", ""), Err("is missing, and the column is required".into()));
    }

    #[test]
    fn dates_are_parsed_to_days() {
        assert_eq!(number("{type: date, format: '%m/%d/%Y'}", "1/2/1970"), Ok(Some(1.0)));
        assert_eq!(number("{type: date}", "2014-10-13"), Ok(Some(16356.0)));
        assert_eq!(number("{type: date}", "13/45/2014"), Err("\"13/45/2014\" is not a date of the form %Y-%m-%d".into()));
    }

    #[test]
    fn spellings_of_levels_are_normalised() {
        let spec = "{type: category, levels: [Downtown, Rural], aliases: {countryside: Rural}}";
        assert_eq!(text(spec, " downTOWN "), Ok(Some("Downtown".into())));
        assert_eq!(text(spec, "Countryside"), Ok(Some("Rural".into())));
        assert_eq!(text(spec, "NA"), Ok(None));
        assert_eq!(
            text(spec, "Dwontown"),
            Err("\"Dwontown\" is not one of the levels Downtown, Rural; nearest: Downtown".into())
        );
        assert_eq!(text(spec, "ATLANTIS"), Err("\"ATLANTIS\" is not one of the levels Downtown, Rural".into()));
        assert_eq!(text("{type: category}", " Old  Town "), Ok(Some("Old Town".into())));
        assert_eq!(text("{type: category, missing: [''], levels: ['NA', Grvl]}", "NA"), Ok(Some("NA".into())));
    }
}
