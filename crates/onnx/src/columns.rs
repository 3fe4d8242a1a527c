//! Raw columns: what is given, judged as the schema judges it.
//!
//! A number that is missing is NaN, a text that is missing is empty. What breaks the schema cannot be refused by a graph: the row's
//! prediction is NaN.

use features::{CategoryEncoder, Encoder};
use schema::{Column, ColumnType, MAX_EXACT_INTEGER};

use crate::{
    Unsupported, calendar,
    graph::{Graph, Value},
    text,
};

/// A raw column, read.
pub(crate) struct Read {
    /// Its numbers, NaN where missing.
    pub(crate) numbers: Value,
    /// Where it breaks the schema.
    pub(crate) broken: Vec<Value>,
}

/// A column of numbers.
pub(crate) fn number(graph: &mut Graph, column: &Column) -> Read {
    let given = graph.numbers(&column.name);
    let mut numbers = given;
    if column.has_numeric_missing() {
        for token in column.missing().iter().filter_map(|token| token.trim().parse::<f64>().ok()) {
            let (token, nothing) = (graph.number(token), graph.number(f64::NAN));
            let missing = graph.op("Equal", &[&numbers, &token]);
            numbers = graph.choose(&missing, &nothing, &numbers);
        }
    }
    let mut broken = vec![graph.op("IsInf", &[&numbers])];
    if let Some(min) = column.spec.min {
        let min = graph.number(min);
        broken.push(graph.op("Less", &[&numbers, &min]));
    }
    if let Some(max) = column.spec.max {
        let max = graph.number(max);
        broken.push(graph.op("Greater", &[&numbers, &max]));
    }
    if column.spec.kind == ColumnType::Integer {
        let whole = graph.op("Floor", &[&numbers]);
        // NaN is not greater than itself
        broken.push(graph.op("Greater", &[&numbers, &whole]));
        let (size, largest) = (graph.op("Abs", &[&numbers]), graph.number(MAX_EXACT_INTEGER));
        broken.push(graph.op("Greater", &[&size, &largest]));
    }
    if column.spec.required {
        broken.push(graph.op("IsNaN", &[&numbers]));
    }
    Read { numbers, broken }
}

/// A column of dates, as text.
pub(crate) fn date(graph: &mut Graph, column: &Column) -> Result<Read, Unsupported> {
    let given = graph.texts(&column.name);
    let numbers = calendar::parse(graph, &given, column.date_format())?;
    let missing = missing(graph, &given, column);
    let unread = graph.op("IsNaN", &[&numbers]);
    let broken = if column.spec.required {
        unread
    } else {
        let present = graph.op("Not", &[&missing]);
        graph.op("And", &[&unread, &present])
    };
    Ok(Read { numbers, broken: vec![broken] })
}

fn missing(graph: &mut Graph, given: &Value, column: &Column) -> Value {
    let tokens = column.missing().iter().map(String::as_str).filter(|token| !token.is_empty());
    graph.matches(given, &text::trimmed([""].into_iter().chain(tokens)))
}

/// A category, encoded.
pub(crate) struct Encoded {
    /// A feature a column, one row a row.
    pub(crate) features: Value,
    /// Where it breaks the schema.
    pub(crate) broken: Value,
}

/// A column of categories. `to_other` says that what nobody knows shares a bucket.
pub(crate) fn category(graph: &mut Graph, column: &Column, encoder: &CategoryEncoder, to_other: bool) -> Encoded {
    let given = graph.texts(&column.name);
    // a level the schema lists may be spelt in any case and by its aliases; one that was learned is what it is
    let listed = !column.spec.levels.is_empty();
    let levels: Vec<&String> =
        if listed { column.spec.levels.iter().collect() } else { encoder.levels.iter().chain(&encoder.rare).collect() };
    let mut code = graph.integer(0);
    for (index, level) in levels.iter().enumerate() {
        let aliases = column.spec.aliases.iter().filter(|(_, of)| of == level).map(|(alias, _)| alias);
        let spellings = [level.as_str()].into_iter().chain(aliases.filter(|_| listed));
        let found = graph.matches(&given, &text::tidied(spellings, listed));
        let (found, number) = (graph.integer_of(&found), graph.integer(index as i64 + 1));
        let found = graph.op("Mul", &[&found, &number]);
        code = graph.op("Max", &[&code, &found]);
    }
    // 0: no level; then, level by level, what stands for it; and -1 where it is refused
    let place = |place: Option<u32>| place.map_or(-1, i64::from);
    let mut places = vec![place(encoder.encoded_index(None, to_other))];
    places.extend(levels.iter().map(|level| place(encoder.encoded_index(Some(level), to_other))));
    let table = graph.integers(&places);
    let found = graph.op("Gather", &[&table, &code]);
    let (zero, fill) = (graph.integer(0), graph.integer(i64::from(encoder.fill)));
    let unnamed = graph.op("Equal", &[&code, &zero]);
    let missing = missing(graph, &given, column);
    let missing = graph.op("And", &[&unnamed, &missing]);
    let fill = if column.spec.required { graph.integer(-1) } else { fill };
    let found = graph.choose(&missing, &fill, &found);
    let broken = graph.op("Less", &[&found, &zero]);
    let axis = graph.integers(&[1]);
    let upright = graph.op("Unsqueeze", &[&found, &axis]);
    let features = match encoder.encoder {
        Encoder::OneHot { .. } => {
            let all: Vec<i64> = (0..encoder.levels.len() as i64).collect();
            let all = graph.integers(&all);
            let hot = graph.op("Equal", &[&upright, &all]);
            graph.number_of(&hot)
        }
        Encoder::Ordinal | Encoder::Native => graph.number_of(&upright),
    };
    Encoded { features, broken }
}
