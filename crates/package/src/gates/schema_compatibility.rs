//! Compares the raw columns of a model with those of the champion: columns that are added, removed, or accept fewer values.

use std::collections::BTreeSet;

use features::{CategoryEncoder, Encoder, Preprocessor};
use schema::{Column, ColumnType, UnknownCategory};

/// The maximum number of levels in a message.
const MAX_LEVELS_LISTED: usize = 10;

/// The changes from one model's raw columns to another's.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SchemaChanges {
    /// Changes that may cause rows to be rejected.
    pub(crate) breaking: Vec<String>,
    /// All other changes.
    pub(crate) harmless: Vec<String>,
}

/// The changes for clients from `before` to `after`.
pub(crate) fn compare_schemas(before: &Preprocessor, after: &Preprocessor) -> SchemaChanges {
    let mut changes = SchemaChanges::default();
    let find = |preprocessor: &Preprocessor, name: &str| -> Option<Column> {
        preprocessor.columns().find(|column| column.name == name).cloned()
    };
    let (was, is) = (&before.schema().target().name, &after.schema().target().name);
    if was != is {
        changes.breaking.push(format!("{is} is predicted instead of {was}"));
    }
    for old in before.columns() {
        match find(after, &old.name) {
            None => changes.breaking.push(format!("{} is removed", old.name)),
            Some(new) => compare_column(&mut changes, (old, before), (&new, after)),
        }
    }
    for new in after.columns().filter(|new| find(before, &new.name).is_none()) {
        if new.spec.required {
            changes.breaking.push(format!("{} is added and required", new.name));
        } else {
            changes.harmless.push(format!("{} is added and optional", new.name));
        }
    }
    changes
}

fn compare_column(
    changes: &mut SchemaChanges,
    (old, before): (&Column, &Preprocessor),
    (new, after): (&Column, &Preprocessor),
) {
    let name = &old.name;
    if old.spec.kind != new.spec.kind {
        changes.breaking.push(format!("{name} is of type {} instead of {}", new.spec.kind.name(), old.spec.kind.name()));
        return;
    }
    match (old.spec.required, new.spec.required) {
        (false, true) => changes.breaking.push(format!("{name} may no longer be missing")),
        (true, false) => changes.harmless.push(format!("{name} may be missing")),
        _ => {}
    }
    if new.spec.min > old.spec.min
        && let Some(min) = new.spec.min
    {
        let was = old.spec.min.map_or("none".to_owned(), |min| min.to_string());
        changes.breaking.push(format!("{name} is narrowed: its minimum is {min}, it was {was}"));
    }
    if let Some(max) = new.spec.max
        && old.spec.max.is_none_or(|was| max < was)
    {
        let was = old.spec.max.map_or("none".to_owned(), |max| max.to_string());
        changes.breaking.push(format!("{name} is narrowed: its maximum is {max}, it was {was}"));
    }
    if old.spec.kind == ColumnType::Category {
        compare_levels(
            changes,
            name,
            (accepted_levels(old, before), known_levels(old, before)),
            accepted_levels(new, after),
        );
    }
}

/// The texts that a category column accepts; `None` if it accepts all.
fn accepted_levels(column: &Column, preprocessor: &Preprocessor) -> Option<BTreeSet<String>> {
    (preprocessor.file().unknown == UnknownCategory::Reject).then(|| known_levels(column, preprocessor))
}

/// The levels of a column with their aliases: those of the schema, or those of training rows.
fn known_levels(column: &Column, preprocessor: &Preprocessor) -> BTreeSet<String> {
    let mut encoders = preprocessor.file().categories.iter();
    let levels = match encoders.find(|encoder| encoder.column == column.name) {
        Some(encoder) if column.spec.levels.is_empty() => training_levels(encoder),
        _ => column.spec.levels.clone(),
    };
    let aliases = column.spec.aliases.iter().map(|(spelling, _)| spelling.to_owned());
    levels.into_iter().chain(aliases).collect()
}

/// The levels of training rows, without the bucket for others.
fn training_levels(encoder: &CategoryEncoder) -> Vec<String> {
    let bucket = match encoder.encoder {
        Encoder::OneHot { other } => other,
        Encoder::Ordinal | Encoder::Native => None,
    };
    let named = encoder.levels.iter().enumerate().filter(|(place, _)| Some(*place as u32) != bucket).map(|(_, level)| level);
    named.chain(&encoder.rare).cloned().collect()
}

fn compare_levels(
    changes: &mut SchemaChanges,
    name: &str,
    (was, known): (Option<BTreeSet<String>>, BTreeSet<String>),
    is: Option<BTreeSet<String>>,
) {
    let Some(is) = is else {
        if was.is_some() {
            changes.harmless.push(format!("{name} accepts unknown levels"));
        }
        return;
    };
    let lost: Vec<&str> = known.difference(&is).map(String::as_str).collect();
    if !lost.is_empty() {
        let more = lost.len().saturating_sub(MAX_LEVELS_LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = lost[..lost.len().min(MAX_LEVELS_LISTED)].join(", ");
        changes.breaking.push(format!("{name} is narrowed: it no longer accepts {shown}{more}"));
    } else if was.is_none() {
        changes.breaking.push(format!("{name} is narrowed: it no longer accepts unknown levels"));
    }
    let new: Vec<&str> = is.difference(&known).map(String::as_str).take(MAX_LEVELS_LISTED).collect();
    if !new.is_empty() {
        changes.harmless.push(format!("{name} also accepts {}", new.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use features::{Fitter, Plan};
    use schema::{Categories, PipelineConfig, Schema, Table, Values};

    use super::*;

    fn preprocessor(columns: &str, unknown: &str) -> Preprocessor {
        let text = format!(
            "table: {{target: price, columns: {{price: {{type: float}}, {columns}}}}}\nengineer: {{unknown_category: {unknown}}}\n"
        );
        let config = PipelineConfig::parse(&text).unwrap();
        let schema = Schema::from_section(&config.table).unwrap();
        let plan = Plan::from_section(&schema, &config.engineer).unwrap();
        let mut table = Table::new(2);
        for column in schema.columns().iter().filter(|column| column.name != "price") {
            let values = match column.spec.kind {
                ColumnType::Category => {
                    Values::Category(Categories { codes: vec![0, 1], levels: vec!["a".into(), "b".into()] })
                }
                _ => Values::Number(vec![1.0, 2.0]),
            };
            table.push(&column.name, values);
        }
        let mut fitter = Fitter::new(&plan);
        fitter.update(&table, &[true; 2]);
        fitter.finish().unwrap()
    }

    fn check(before: &str, after: &str, breaking: &[&str], harmless: &[&str]) {
        let changes = compare_schemas(&preprocessor(before, "reject"), &preprocessor(after, "reject"));
        assert_eq!((changes.breaking, changes.harmless), (texts(breaking), texts(harmless)), "{before} → {after}");
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_was_taken_and_is_refused_is_named() {
        let size = "size: {type: float, min: 0, max: 9}";
        check(size, size, &[], &[]);
        check(size, "rooms: {type: integer}", &["size is removed"], &["rooms is added and optional"]);
        check(size, &format!("{size}, rooms: {{type: integer, required: true}}"), &["rooms is added and required"], &[]);
        check(size, "size: {type: integer, min: 0, max: 9}", &["size is of type integer instead of float"], &[]);
        check(size, "size: {type: float, required: true, min: 0, max: 9}", &["size may no longer be missing"], &[]);
        check("size: {type: float, required: true, min: 0, max: 9}", size, &[], &["size may be missing"]);
        let narrowed = ["size is narrowed: its minimum is 1, it was 0", "size is narrowed: its maximum is 8, it was 9"];
        check(size, "size: {type: float, min: 1, max: 8}", &narrowed, &[]);
        check(size, "size: {type: float}", &[], &[]);
        check(
            "size: {type: float}",
            size,
            &["size is narrowed: its minimum is 0, it was none", "size is narrowed: its maximum is 9, it was none"],
            &[],
        );
    }

    #[test]
    fn levels_that_are_lost_are_named() {
        let open = "place: {type: category}";
        let listed = "place: {type: category, levels: [a, b, c], aliases: {A1: a}}";
        check(listed, listed, &[], &[]);
        check(listed, "place: {type: category, levels: [c, b, a], aliases: {A1: a}}", &[], &[]);
        check(listed, "place: {type: category, levels: [a, b]}", &["place is narrowed: it no longer accepts A1, c"], &[]);
        check("place: {type: category, levels: [a, b]}", listed, &[], &["place also accepts A1, c"]);
        check(listed, open, &["place is narrowed: it no longer accepts A1, c"], &[]);
        let (any, known) = (preprocessor(open, "other"), preprocessor(open, "reject"));
        assert_eq!(compare_schemas(&any, &known).breaking, ["place is narrowed: it no longer accepts unknown levels"]);
        assert_eq!(compare_schemas(&known, &any).harmless, ["place accepts unknown levels"]);
    }
}
