//! Headers of tables: parsing, and comparison with the schema.

use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};
use schema::{MAX_COLUMNS, Schema, check_name};

use crate::error::FrameError;

/// Requirement of the target column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetColumn {
    /// The target is required, for training.
    Required,
    /// The target is optional and ignored, for predictions.
    Optional,
}

/// Splits a well-formed CSV record into fields.
pub(crate) fn split_record(record: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut end = 0;
            while let Some(quote) = quoted[end..].find('"') {
                end += quote;
                if !quoted[end + 1..].starts_with('"') {
                    break;
                }
                end += 2;
            }
            fields.push(quoted[..end].replace("\"\"", "\""));
            rest = quoted.get(end + 1..).unwrap_or("");
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            fields.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return fields,
        }
    }
}

/// Rejects a header with duplicate or invalid names.
pub(crate) fn check_unique(path: &Path, line: u64, names: &[String]) -> Result<(), FrameError> {
    let mut known: FxHashMap<&str, usize> = FxHashMap::default();
    for (index, name) in names.iter().enumerate() {
        let header_error = |message| Err(FrameError::Header { path: path.to_owned(), line, message });
        if name.is_empty() {
            return header_error(format!("column {} of the header has no name", index + 1));
        }
        // names of features consist of a column's name and a level's
        if name.len() > 2 * schema::MAX_NAME_BYTES || schema::unprintable(name).is_some() {
            let message = check_name(name).err().unwrap_or_default();
            return header_error(format!("column {} of the header: {message}", index + 1));
        }
        if let Some(first) = known.insert(name, index) {
            return header_error(format!(
                "column \"{name}\" is a duplicate (columns {} and {}). Rename one",
                first + 1,
                index + 1
            ));
        }
    }
    Ok(())
}

/// Compares a header with the schema: both must have the same columns, in any order.
///
/// # Errors
/// With all missing and unknown columns.
pub fn check_header(
    path: &Path,
    line: u64,
    names: &[String],
    schema: &Schema,
    target: TargetColumn,
) -> Result<(), FrameError> {
    let header_error = |message| Err(FrameError::Header { path: path.to_owned(), line, message });
    if let [only] = names
        && let Some(separator) = [';', '\t', '|'].into_iter().find(|separator| only.contains(*separator))
    {
        return header_error(format!("the header has one column and contains {separator:?}. Separate columns with commas"));
    }
    if names.len() > MAX_COLUMNS + 1 {
        return header_error(format!("the header has {} columns; at most {MAX_COLUMNS} are allowed", names.len()));
    }
    let unknown: Vec<&String> = names.iter().filter(|name| schema.column(name).is_none()).collect();
    let there: FxHashSet<&str> = names.iter().map(String::as_str).collect();
    let absent: Vec<&str> = schema
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| !there.contains(name))
        .filter(|name| target == TargetColumn::Required || *name != schema.target().name)
        .collect();
    if unknown.is_empty() && absent.is_empty() {
        return Ok(());
    }
    if absent.contains(&schema.target().name.as_str()) {
        let hint = hint(&schema.target().name, &unknown);
        return header_error(format!("the target column \"{}\" is not in the header{hint}", schema.target().name));
    }
    let mut parts = Vec::new();
    for name in absent.iter().take(MAX_COLUMNS_LISTED) {
        parts.push(format!("column \"{name}\" is not in the header{}", hint(name, &unknown)));
    }
    for name in unknown.iter().take(MAX_COLUMNS_LISTED) {
        let near = schema::closest_match(name, absent.iter().copied()).is_some();
        if !near {
            parts.push(format!(
                "column \"{name}\" is not in the schema. Add it to table.columns (type text, if it is not used)"
            ));
        }
    }
    let more = absent.len().saturating_sub(MAX_COLUMNS_LISTED) + unknown.len().saturating_sub(MAX_COLUMNS_LISTED);
    if more > 0 {
        parts.push(format!("and {more} more differences"));
    }
    header_error(parts.join("; "))
}

/// Largest number of missing, and of unknown, columns in a message.
const MAX_COLUMNS_LISTED: usize = 20;

fn hint(name: &str, unknown: &[&String]) -> String {
    schema::closest_match(name, unknown.iter().map(|unknown| unknown.as_str()))
        .map_or(String::new(), |near| format!(" (is it \"{near}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::PipelineConfig;

    #[test]
    fn records_are_split_by_rfc_4180() {
        assert_eq!(split_record("a,\"b,c\",\"d \"\"e\"\"\",,f"), ["a", "b,c", "d \"e\"", "", "f"]);
        assert_eq!(split_record("\"\",x"), ["", "x"]);
    }

    fn error_of(header: &str) -> String {
        let text =
            "table:\n  target: price\n  columns: {price: {type: float}, sqft: {type: float}, city: {type: category}}\n";
        let schema = Schema::from_section(&PipelineConfig::parse(text).unwrap().table).unwrap();
        let names = split_record(header);
        check_unique(Path::new("a.csv"), 2, &names)
            .and_then(|()| check_header(Path::new("a.csv"), 2, &names, &schema, TargetColumn::Required))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn headers_that_differ_are_an_error() {
        for (header, expected) in [
            ("price,sqft", "a.csv:2: column \"city\" is not in the header"),
            ("price,sqfeet,city", "a.csv:2: column \"sqft\" is not in the header (is it \"sqfeet\"?)"),
            (
                "price,sqft,city,agent",
                "a.csv:2: column \"agent\" is not in the schema. Add it to table.columns (type text, if it is not used)",
            ),
            ("price,sqft,city,sqft", "a.csv:2: column \"sqft\" is a duplicate (columns 2 and 4). Rename one"),
            ("Price,sqft,city", "a.csv:2: the target column \"price\" is not in the header (is it \"Price\"?)"),
            ("price,,city", "a.csv:2: column 2 of the header has no name"),
            ("price;sqft;city", "a.csv:2: the header has one column and contains ';'. Separate columns with commas"),
        ] {
            assert_eq!(error_of(header), expected);
        }
    }
}
