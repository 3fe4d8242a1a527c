//! Raw columns: inputs of the graph and their validation by the schema.
//!
//! A missing number is NaN, a missing text is empty. A graph cannot reject rows, so the prediction of an invalid row is NaN.

use features::{CategoryEncoder, Encoder};
use schema::{Column, ColumnType, MAX_EXACT_INTEGER};

use crate::{
    Unsupported, calendar,
    graph::{Graph, Value},
    text,
};

/// A validated raw column.
pub(crate) struct InputColumn {
    /// Its numbers; NaN for missing.
    pub(crate) numbers: Value,
    /// Conditions under which it is invalid.
    pub(crate) invalid: Vec<Value>,
}

/// A column of numbers.
pub(crate) fn number(graph: &mut Graph, column: &Column) -> InputColumn {
    let input = graph.numbers(&column.name);
    let mut numbers = input;
    if column.has_numeric_missing() {
        for token in column.missing().iter().filter_map(|token| token.trim().parse::<f64>().ok()) {
            let (token, nothing) = (graph.number(token), graph.number(f64::NAN));
            let missing = graph.op("Equal", &[&numbers, &token]);
            numbers = graph.choose(&missing, &nothing, &numbers);
        }
    }
    let mut invalid = vec![graph.op("IsInf", &[&numbers])];
    if let Some(min) = column.spec.min {
        let min = graph.number(min);
        invalid.push(graph.op("Less", &[&numbers, &min]));
    }
    if let Some(max) = column.spec.max {
        let max = graph.number(max);
        invalid.push(graph.op("Greater", &[&numbers, &max]));
    }
    if column.spec.kind == ColumnType::Integer {
        let whole = graph.op("Floor", &[&numbers]);
        // NaN is not greater than itself
        invalid.push(graph.op("Greater", &[&numbers, &whole]));
        let (size, largest) = (graph.op("Abs", &[&numbers]), graph.number(MAX_EXACT_INTEGER));
        invalid.push(graph.op("Greater", &[&size, &largest]));
    }
    if column.spec.required {
        invalid.push(graph.op("IsNaN", &[&numbers]));
    }
    InputColumn { numbers, invalid }
}

/// A column of dates, as text.
pub(crate) fn date(graph: &mut Graph, column: &Column) -> Result<InputColumn, Unsupported> {
    let input = graph.texts(&column.name);
    let numbers = calendar::parse(graph, &input, column.date_format())?;
    let missing = missing(graph, &input, column);
    let unread = graph.op("IsNaN", &[&numbers]);
    let invalid = if column.spec.required {
        unread
    } else {
        let present = graph.op("Not", &[&missing]);
        graph.op("And", &[&unread, &present])
    };
    Ok(InputColumn { numbers, invalid: vec![invalid] })
}

fn missing(graph: &mut Graph, input: &Value, column: &Column) -> Value {
    let tokens = column.missing().iter().map(String::as_str).filter(|token| !token.is_empty());
    graph.matches(input, &text::trimmed_pattern([""].into_iter().chain(tokens)))
}

/// An encoded category.
pub(crate) struct EncodedColumn {
    /// Matrix of features: one column per feature.
    pub(crate) features: Value,
    /// Conditions under which it is invalid.
    pub(crate) invalid: Value,
}

/// Encodes a column of categories. `to_other` is true if unknown levels share a bucket.
pub(crate) fn category(graph: &mut Graph, column: &Column, encoder: &CategoryEncoder, to_other: bool) -> EncodedColumn {
    let input = graph.texts(&column.name);
    // listed levels match in any case and by aliases, fitted levels match exactly
    let listed = !column.spec.levels.is_empty();
    let levels: Vec<&String> =
        if listed { column.spec.levels.iter().collect() } else { encoder.levels.iter().chain(&encoder.rare).collect() };
    let mut code = graph.integer(0);
    for (index, level) in levels.iter().enumerate() {
        let aliases = column.spec.aliases.iter().filter(|(_, of)| of == level).map(|(alias, _)| alias);
        let spellings = [level.as_str()].into_iter().chain(aliases.filter(|_| listed));
        let level = graph.matches(&input, &text::normalized_pattern(spellings, listed));
        let (level, number) = (graph.integer_of(&level), graph.integer(index as i64 + 1));
        let level = graph.op("Mul", &[&level, &number]);
        code = graph.op("Max", &[&code, &level]);
    }
    // the index of each level's code, -1 if it is rejected; code 0 is for unknown levels
    let place = |place: Option<u32>| place.map_or(-1, i64::from);
    let mut places = vec![place(encoder.encoded_index(None, to_other))];
    places.extend(levels.iter().map(|level| place(encoder.encoded_index(Some(level), to_other))));
    let table = graph.integers(&places);
    let fitted_code = graph.op("Gather", &[&table, &code]);
    let (zero, fill) = (graph.integer(0), graph.integer(i64::from(encoder.fill)));
    let unnamed = graph.op("Equal", &[&code, &zero]);
    let missing = missing(graph, &input, column);
    let missing = graph.op("And", &[&unnamed, &missing]);
    let fill = if column.spec.required { graph.integer(-1) } else { fill };
    let fitted_code = graph.choose(&missing, &fill, &fitted_code);
    let invalid = graph.op("Less", &[&fitted_code, &zero]);
    let axis = graph.integers(&[1]);
    let upright = graph.op("Unsqueeze", &[&fitted_code, &axis]);
    let features = match encoder.encoder {
        Encoder::OneHot { .. } => {
            let all: Vec<i64> = (0..encoder.levels.len() as i64).collect();
            let all = graph.integers(&all);
            let hot = graph.op("Equal", &[&upright, &all]);
            graph.number_of(&hot)
        }
        Encoder::Ordinal | Encoder::Native => graph.number_of(&upright),
    };
    EncodedColumn { features, invalid }
}
