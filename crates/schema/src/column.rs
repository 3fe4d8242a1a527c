//! The validated schema of a table.

use crate::config::error::SettingError;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::{
    SPLIT_COLUMN,
    config::pipeline::{ColumnSpec, ColumnType, TableSection},
    name::check_name,
};

/// Largest number of columns of a table.
pub const MAX_COLUMNS: usize = 10_000;

/// A column with everything that the validation of a cell needs.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name in the header.
    pub name: String,
    /// The specification in the configuration.
    pub spec: ColumnSpec,
    pub(crate) missing: Vec<String>,
    /// The same as a set.
    pub(crate) missing_cells: FxHashSet<String>,
    /// True if a missing value can also be parsed as a number (-999), so it is looked up before parsing.
    pub(crate) missing_first: bool,
    pub(crate) spellings: FxHashMap<String, u32>,
}

/// A table's columns in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Schema {
    section: TableSection,
    columns: Vec<Column>,
    /// Index of each column by name.
    places: FxHashMap<String, usize>,
    target: usize,
}

impl Schema {
    /// Validates a table section.
    ///
    /// # Errors
    /// If the section is invalid; the error names the key: an unknown target, an empty range, an alias of an unlisted level, or a setting
    /// that does not suit the type.
    pub fn from_section(section: &TableSection) -> Result<Self, SettingError> {
        let count = section.columns.0.len();
        if count > MAX_COLUMNS {
            let message = format!("lists {count} columns; at most {MAX_COLUMNS} are allowed");
            return Err(SettingError::new(&["table", "columns"], message));
        }
        let columns = section
            .columns
            .iter()
            .map(|(name, spec)| check_column(name, spec, &section.missing))
            .collect::<Result<Vec<_>, _>>()?;
        let places: FxHashMap<String, usize> =
            columns.iter().enumerate().map(|(place, column)| (column.name.clone(), place)).collect();
        let target = places.get(&section.target).copied().ok_or_else(|| {
            SettingError::new(
                &["table", "target"],
                format!("{} is not among table.columns", crate::name::quoted(&section.target)),
            )
        })?;
        if !columns[target].spec.kind.is_number() {
            return Err(SettingError::column(&section.target, "the target must be a float or an integer column"));
        }
        Ok(Self { section: section.clone(), columns, places, target })
    }

    /// Columns in the order of the configuration, including the target.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column to predict.
    pub fn target(&self) -> &Column {
        &self.columns[self.target]
    }

    /// Index of the target in [`columns`](Self::columns).
    pub fn target_index(&self) -> usize {
        self.target
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.index_of(name).map(|place| &self.columns[place])
    }

    /// Index of the column called `name` in [`columns`](Self::columns).
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The section of the schema.
    pub fn section(&self) -> &TableSection {
        &self.section
    }

    /// A 128-bit hash, in hexadecimal, of names, types, ranges and levels in order.
    pub fn fingerprint(&self) -> String {
        #[derive(Serialize)]
        struct Identity<'a>(u32, &'a TableSection);
        let text = serde_json::to_string(&Identity(1, &self.section)).unwrap_or_default();
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
    }
}

fn check_column(name: &str, spec: &ColumnSpec, missing: &[String]) -> Result<Column, SettingError> {
    let error = |message: &str| Err(SettingError::column(name, message));
    if name == SPLIT_COLUMN {
        return error("`split` is the column that process adds; rename this one in the raw table");
    }
    if name.trim().is_empty() || name.trim() != name || name.contains('`') {
        return error("a column's name must not be empty, begin or end with a space, or contain a backtick");
    }
    check_name(name).map_err(|message| SettingError::column(name, message))?;
    if !spec.kind.is_number() && (spec.min.is_some() || spec.max.is_some()) {
        return error("min and max are for float and integer columns");
    }
    if let Some(bound) = [spec.min, spec.max].into_iter().flatten().find(|bound| !bound.is_finite()) {
        return error(&format!("the bound {bound} is not a finite number"));
    }
    if let (Some(min), Some(max)) = (spec.min, spec.max)
        && min > max
    {
        return error(&format!("min {min} is above max {max}"));
    }
    if spec.kind != ColumnType::Category && (!spec.levels.is_empty() || spec.ordered || !spec.aliases.is_empty()) {
        return error("levels, ordered and aliases are for category columns");
    }
    if spec.ordered && spec.levels.is_empty() {
        return error("ordered needs levels, from low to high");
    }
    if spec.kind != ColumnType::Date && spec.format.is_some() {
        return error("format is for date columns");
    }
    let missing = spec.missing.clone().unwrap_or_else(|| missing.to_vec());
    let missing_first = missing.iter().any(|token| token.trim().parse::<f64>().is_ok_and(f64::is_finite));
    let spellings = spellings(spec).map_err(|message| SettingError::column(name, message))?;
    let missing_cells = missing.iter().cloned().collect();
    Ok(Column { name: name.to_owned(), spec: spec.clone(), missing, missing_cells, missing_first, spellings })
}

fn spellings(spec: &ColumnSpec) -> Result<FxHashMap<String, u32>, String> {
    let mut spellings = FxHashMap::default();
    for (code, level) in spec.levels.iter().enumerate() {
        check_name(level).map_err(|message| format!("level {}: {message}", code + 1))?;
        if spellings.insert(normalize_spelling(level), code as u32).is_some() {
            return Err(format!("level \"{level}\" is listed twice (case and whitespace are ignored)"));
        }
    }
    let codes: FxHashMap<&str, usize> = spec.levels.iter().zip(0..).map(|(level, code)| (level.as_str(), code)).collect();
    for (alias, level) in spec.aliases.iter() {
        let Some(code) = codes.get(level.as_str()).copied() else {
            return Err(format!("alias \"{alias}\" stands for \"{level}\", which is not a level"));
        };
        if spellings.insert(normalize_spelling(alias), code as u32).is_some_and(|known| known != code as u32) {
            return Err(format!("alias \"{alias}\" stands for two levels"));
        }
    }
    // exact spellings, too: they are looked up first
    let as_written = spec.levels.iter().zip(0..).map(|(level, code)| (level.clone(), code));
    spellings.extend(as_written);
    Ok(spellings)
}

/// Normalizes a spelling for comparison: lower case, with whitespace trimmed and collapsed.
pub(crate) fn normalize_spelling(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pipeline::PipelineConfig;

    fn error_of(columns: &str) -> String {
        let text = format!("table:\n  target: price\n  columns:\n    price: {{type: float}}\n{columns}");
        Schema::from_section(&PipelineConfig::parse(&text).unwrap().table).unwrap_err().to_string()
    }

    #[test]
    fn contradictions_are_an_error() {
        for (columns, expected) in [
            ("    a: {type: float, min: 3, max: 2}\n", "table.columns.a: min 3 is above max 2"),
            ("    a: {type: text, min: 3}\n", "table.columns.a: min and max are for float and integer columns"),
            ("    a: {type: float, levels: [x]}\n", "table.columns.a: levels, ordered and aliases are for category columns"),
            ("    a: {type: category, ordered: true}\n", "table.columns.a: ordered needs levels, from low to high"),
            (
                "    a: {type: category, levels: [x, ' X']}\n",
                "table.columns.a: level \" X\" is listed twice (case and whitespace are ignored)",
            ),
            (
                "    a: {type: category, levels: [x], aliases: {z: y}}\n",
                "table.columns.a: alias \"z\" stands for \"y\", which is not a level",
            ),
            (
                "    \"a\\nb\": {type: text}\n",
                "table.columns.a\\nb: the name a\\nb holds U+000A, which cannot be printed; remove it",
            ),
            (
                "    a: {type: category, levels: [x, \"y\\u200b\"]}\n",
                "table.columns.a: level 2: the name y\\u{200b} holds U+200B, which cannot be printed; remove it",
            ),
            (
                "    split: {type: text}\n",
                "table.columns.split: `split` is the column that process adds; rename this one in the raw table",
            ),
        ] {
            assert_eq!(error_of(columns), expected);
        }
    }

    #[test]
    fn the_target_must_exist_and_be_numeric() {
        let parse = |text: &str| Schema::from_section(&PipelineConfig::parse(text).unwrap().table).unwrap_err().to_string();
        assert_eq!(
            parse("table:\n  target: cost\n  columns:\n    price: {type: float}\n"),
            "table.target: \"cost\" is not among table.columns"
        );
        assert_eq!(
            parse("table:\n  target: price\n  columns:\n    price: {type: text}\n"),
            "table.columns.price: the target must be a float or an integer column"
        );
    }

    #[test]
    fn the_fingerprint_depends_on_the_schema() {
        let fingerprint = |text: &str| {
            let text = format!("table:\n  target: p\n  columns:\n    p: {{type: float{text}}}\n");
            Schema::from_section(&PipelineConfig::parse(&text).unwrap().table).unwrap().fingerprint()
        };
        assert_eq!(fingerprint(""), fingerprint(""));
        assert_ne!(fingerprint(""), fingerprint(", min: 1"));
    }
}
