//! The table's schema after every check.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::{
    SPLIT_COLUMN,
    config::{
        error::SettingError,
        pipeline::{ColumnSpec, ColumnType, TableSection},
    },
    name::check_name,
};

/// How many columns a table may have.
pub const MAX_COLUMNS: usize = 10_000;

/// One column with everything needed to judge a cell.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// As typed.
    pub spec: ColumnSpec,
    pub(crate) missing: Vec<String>,
    /// The same, to look cells up in.
    pub(crate) missing_cells: FxHashSet<String>,
    /// A cell that counts as missing could be read as a number (-999), so it is looked for before parsing.
    pub(crate) missing_first: bool,
    pub(crate) spellings: FxHashMap<String, u32>,
}

/// A table's columns in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Schema {
    section: TableSection,
    columns: Vec<Column>,
    /// The place of each column by its name.
    places: FxHashMap<String, usize>,
    target: usize,
}

impl Schema {
    /// Checks a table section. The only way to a schema.
    ///
    /// # Errors
    /// Names the key at fault: no such target, a range that is empty, an alias of a level that is not listed, a setting
    /// that does not fit the type.
    pub fn check(section: &TableSection) -> Result<Self, SettingError> {
        let count = section.columns.0.len();
        if count > MAX_COLUMNS {
            let message = format!("lists {count} columns; a table may have {MAX_COLUMNS}");
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

    /// Columns in the order of the configuration, the target among them.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column to predict.
    pub fn target(&self) -> &Column {
        &self.columns[self.target]
    }

    /// The position of the target among [`columns`](Self::columns).
    pub fn target_index(&self) -> usize {
        self.target
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.place(name).map(|place| &self.columns[place])
    }

    /// The place of the column called `name` among [`columns`](Self::columns).
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The section this schema was made of.
    pub fn section(&self) -> &TableSection {
        &self.section
    }

    /// 128 bits, in hexadecimal, that stand for this table: names, types, ranges and levels, in order.
    pub fn fingerprint(&self) -> String {
        #[derive(Serialize)]
        struct Identity<'a>(u32, &'a TableSection);
        let text = serde_json::to_string(&Identity(1, &self.section)).unwrap_or_default();
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
    }
}

fn check_column(name: &str, spec: &ColumnSpec, missing: &[String]) -> Result<Column, SettingError> {
    let fault = |message: &str| Err(SettingError::column(name, message));
    if name == SPLIT_COLUMN {
        return fault("`split` is the column that process adds; rename this one in the raw table");
    }
    if name.trim().is_empty() || name.trim() != name || name.contains('`') {
        return fault("a column's name must not be empty, begin or end with a blank, or hold a backtick");
    }
    check_name(name).map_err(|message| SettingError::column(name, message))?;
    if !spec.kind.is_number() && (spec.min.is_some() || spec.max.is_some()) {
        return fault("min and max are for float and integer columns");
    }
    if let Some(bound) = [spec.min, spec.max].into_iter().flatten().find(|bound| !bound.is_finite()) {
        return fault(&format!("the bound {bound} is not a finite number"));
    }
    if let (Some(min), Some(max)) = (spec.min, spec.max)
        && min > max
    {
        return fault(&format!("min {min} is above max {max}"));
    }
    if spec.kind != ColumnType::Category && (!spec.levels.is_empty() || spec.ordered || !spec.aliases.is_empty()) {
        return fault("levels, ordered and aliases are for category columns");
    }
    if spec.ordered && spec.levels.is_empty() {
        return fault("ordered needs levels, from low to high");
    }
    if spec.kind != ColumnType::Date && spec.format.is_some() {
        return fault("format is for date columns");
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
        if spellings.insert(fold(level), code as u32).is_some() {
            return Err(format!("level \"{level}\" is listed twice (case and blanks do not count)"));
        }
    }
    let codes: FxHashMap<&str, usize> = spec.levels.iter().zip(0..).map(|(level, code)| (level.as_str(), code)).collect();
    for (alias, level) in spec.aliases.iter() {
        let Some(code) = codes.get(level.as_str()).copied() else {
            return Err(format!("alias \"{alias}\" stands for \"{level}\", which is not a level"));
        };
        if spellings.insert(fold(alias), code as u32).is_some_and(|known| known != code as u32) {
            return Err(format!("alias \"{alias}\" stands for two levels"));
        }
    }
    // as they stand, too: they are looked for first
    let as_written = spec.levels.iter().zip(0..).map(|(level, code)| (level.clone(), code));
    spellings.extend(as_written);
    Ok(spellings)
}

/// A spelling as it is compared: lower case, blanks around it dropped and those inside made one.
pub(crate) fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pipeline::PipelineConfig;

    fn error_of(columns: &str) -> String {
        let text = format!("table:\n  target: price\n  columns:\n    price: {{type: float}}\n{columns}");
        Schema::check(&PipelineConfig::parse(&text).unwrap().table).unwrap_err().to_string()
    }

    #[test]
    fn contradictions_are_named() {
        for (columns, expected) in [
            ("    a: {type: float, min: 3, max: 2}\n", "table.columns.a: min 3 is above max 2"),
            ("    a: {type: text, min: 3}\n", "table.columns.a: min and max are for float and integer columns"),
            ("    a: {type: float, levels: [x]}\n", "table.columns.a: levels, ordered and aliases are for category columns"),
            ("    a: {type: category, ordered: true}\n", "table.columns.a: ordered needs levels, from low to high"),
            (
                "    a: {type: category, levels: [x, ' X']}\n",
                "table.columns.a: level \" X\" is listed twice (case and blanks do not count)",
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
    fn the_target_must_be_there_and_numeric() {
        let parse = |text: &str| Schema::check(&PipelineConfig::parse(text).unwrap().table).unwrap_err().to_string();
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
    fn the_fingerprint_follows_the_schema() {
        let of = |text: &str| {
            let text = format!("table:\n  target: p\n  columns:\n    p: {{type: float{text}}}\n");
            Schema::check(&PipelineConfig::parse(&text).unwrap().table).unwrap().fingerprint()
        };
        assert_eq!(of(""), of(""));
        assert_ne!(of(""), of(", min: 1"));
    }
}
