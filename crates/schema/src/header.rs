//! Headers of tables: their names, and the comparison with the schema.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    cell::closest_match,
    column::{MAX_COLUMNS, Schema},
    name::{MAX_NAME_BYTES, check_name, unprintable},
};

/// Requirement of the target column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetColumn {
    /// The target is required, for training.
    Required,
    /// The target is optional and ignored, for predictions.
    Optional,
}

/// Checks the names of a header.
///
/// # Errors
/// With the column whose name is invalid or a duplicate.
pub fn check_header_names(names: &[String]) -> Result<(), String> {
    let mut known: FxHashMap<&str, usize> = FxHashMap::default();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("column {} of the header has no name", index + 1));
        }
        // names of features consist of a column's name and a level's
        if name.len() > 2 * MAX_NAME_BYTES || unprintable(name).is_some() {
            let message = check_name(name).err().unwrap_or_default();
            return Err(format!("column {} of the header: {message}", index + 1));
        }
        if let Some(first) = known.insert(name, index) {
            return Err(format!("column \"{name}\" is a duplicate (columns {} and {}). Rename one", first + 1, index + 1));
        }
    }
    Ok(())
}

/// Compares the names of a header with the schema: both must have the same columns, in any order.
///
/// # Errors
/// With all missing and unknown columns.
pub fn check_header(names: &[String], schema: &Schema, target: TargetColumn) -> Result<(), String> {
    if let [only] = names
        && let Some(separator) = [';', '\t', '|'].into_iter().find(|separator| only.contains(*separator))
    {
        return Err(format!("the header has one column and contains {separator:?}. Separate columns with commas"));
    }
    if names.len() > MAX_COLUMNS + 1 {
        return Err(format!("the header has {} columns; at most {MAX_COLUMNS} are allowed", names.len()));
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
        return Err(format!("the target column \"{}\" is not in the header{hint}", schema.target().name));
    }
    let mut parts = Vec::new();
    for name in absent.iter().take(MAX_COLUMNS_LISTED) {
        parts.push(format!("column \"{name}\" is not in the header{}", hint(name, &unknown)));
    }
    for name in unknown.iter().take(MAX_COLUMNS_LISTED) {
        let near = closest_match(name, absent.iter().copied()).is_some();
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
    Err(parts.join("; "))
}

/// Largest number of missing, and of unknown, columns in a message.
const MAX_COLUMNS_LISTED: usize = 20;

fn hint(name: &str, unknown: &[&String]) -> String {
    closest_match(name, unknown.iter().map(|unknown| unknown.as_str()))
        .map_or(String::new(), |near| format!(" (is it \"{near}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pipeline::PipelineConfig;

    fn error_of(header: &str) -> String {
        let text =
            "table:\n  target: price\n  columns: {price: {type: float}, sqft: {type: float}, city: {type: category}}\n";
        let schema = Schema::from_section(&PipelineConfig::parse(text).unwrap().table).unwrap();
        let names: Vec<String> = header.split(',').map(str::to_owned).collect();
        check_header_names(&names).and_then(|()| check_header(&names, &schema, TargetColumn::Required)).unwrap_err()
    }

    #[test]
    fn headers_that_differ_are_an_error() {
        for (header, expected) in [
            ("price,sqft", "column \"city\" is not in the header"),
            ("price,sqfeet,city", "column \"sqft\" is not in the header (is it \"sqfeet\"?)"),
            (
                "price,sqft,city,agent",
                "column \"agent\" is not in the schema. Add it to table.columns (type text, if it is not used)",
            ),
            ("price,sqft,city,sqft", "column \"sqft\" is a duplicate (columns 2 and 4). Rename one"),
            ("Price,sqft,city", "the target column \"price\" is not in the header (is it \"Price\"?)"),
            ("price,,city", "column 2 of the header has no name"),
            ("price;sqft;city", "the header has one column and contains ';'. Separate columns with commas"),
        ] {
            assert_eq!(error_of(header), expected);
        }
    }
}
