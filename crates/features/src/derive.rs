//! Derived features: their expressions checked against the table, put in an order in which they can be computed, and compiled.

use std::{cmp::Reverse, collections::BinaryHeap};

use rustc_hash::FxHashMap;
use schema::{ColumnType, EngineerSection, Schema, SettingError};

use crate::{
    expression::{Binding, Program, is_calendar},
    inputs::Inputs,
    parse::{Expression, SyntaxError, parse},
};

const REFERENCE_YEAR: &str = "reference_year";

/// A derived feature as parsed.
pub(crate) struct Derived {
    pub(crate) name: String,
    pub(crate) expression: Expression,
}

/// How many features may be derived.
pub(crate) const MAX_DERIVED: usize = 2_000;

/// Parses every expression.
pub(crate) fn parse_all(schema: &Schema, section: &EngineerSection) -> Result<Vec<Derived>, SettingError> {
    let count = section.derive.0.len();
    if count > MAX_DERIVED {
        let message = format!("lists {count} features; {MAX_DERIVED} may be derived");
        return Err(SettingError::new(&["engineer", "derive"], message));
    }
    let mut derived = Vec::new();
    for (name, text) in section.derive.iter() {
        let fault = |message: String| SettingError::new(&["engineer", "derive", name], message);
        if schema.column(name).is_some() || name == REFERENCE_YEAR || name == schema::SPLIT_COLUMN {
            return Err(fault(format!("the name \"{name}\" is taken; choose another")));
        }
        schema::check_file_name(name).map_err(fault)?;
        let expression = parse(text).map_err(|error| fault(error.show(text)))?;
        derived.push(Derived { name: name.to_owned(), expression });
    }
    Ok(derived)
}

/// Which derived features each derived feature reads, and where each stands by its name.
struct Reads<'a> {
    places: FxHashMap<&'a str, usize>,
    /// Per feature the names that it reads, in the order of its text.
    names: Vec<Vec<&'a str>>,
}

impl<'a> Reads<'a> {
    fn of(derived: &'a [Derived]) -> Self {
        let places = derived.iter().zip(0..).map(|(feature, place)| (feature.name.as_str(), place)).collect();
        Self { places, names: derived.iter().map(|feature| names(&feature.expression)).collect() }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

/// Refuses a derived feature that reads the target, straight or through others, naming the chain.
pub(crate) fn refuse_target(schema: &Schema, derived: &[Derived]) -> Result<(), SettingError> {
    let target = schema.target().name.as_str();
    let reads = Reads::of(derived);
    // a feature that was followed to its end reads no target: the first one that does ends the search
    let mut visited = vec![false; derived.len()];
    for start in 0..derived.len() {
        // the chain from `start` on: a feature and how many of its names were followed
        let mut chain = vec![(start, 0)];
        visited[start] = true;
        while let Some((feature, followed)) = chain.last_mut() {
            let Some(name) = reads.names[*feature].get(*followed) else {
                chain.pop();
                continue;
            };
            *followed += 1;
            if *name == target {
                return Err(reads_target(target, &chain, derived));
            }
            if let Some(next) = reads.place(name).filter(|next| !visited[*next]) {
                visited[next] = true;
                chain.push((next, 0));
            }
        }
    }
    Ok(())
}

/// How many links of a chain are written out.
const SHOWN_LINKS: usize = 10;

fn reads_target(target: &str, chain: &[(usize, usize)], derived: &[Derived]) -> SettingError {
    let steps: Vec<&str> = chain.iter().map(|(place, _)| derived[*place].name.as_str()).chain([target]).collect();
    let mut links: Vec<String> = steps.windows(2).map(|pair| format!("{} reads {}", pair[0], pair[1])).collect();
    if links.len() > SHOWN_LINKS {
        let left_out = links.len() - SHOWN_LINKS;
        links.splice(SHOWN_LINKS - 1..links.len() - 1, [format!("so on over {left_out} more")]);
    }
    let message = format!(
        "{}, the target. A feature made from the target is not there when a price is asked for; remove it",
        links.join(", and ")
    );
    SettingError::new(&["engineer", "derive", steps[0]], message)
}

/// The order in which derived features can be computed: always the first in the configuration of those that can.
pub(crate) fn order(derived: &[Derived]) -> Result<Vec<usize>, SettingError> {
    let reads = Reads::of(derived);
    let mut pending = vec![0; derived.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); derived.len()];
    for (reader, names) in reads.names.iter().enumerate() {
        for place in names.iter().filter_map(|name| reads.place(name)) {
            pending[reader] += 1;
            readers[place].push(reader);
        }
    }
    let mut computable: BinaryHeap<Reverse<usize>> =
        (0..derived.len()).filter(|place| pending[*place] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(derived.len());
    while let Some(Reverse(next)) = computable.pop() {
        order.push(next);
        for reader in &readers[next] {
            pending[*reader] -= 1;
            if pending[*reader] == 0 {
                computable.push(Reverse(*reader));
            }
        }
    }
    match pending.iter().position(|pending| *pending > 0) {
        None => Ok(order),
        Some(start) => Err(circle(derived, &reads, &pending, start)),
    }
}

/// The circle that is come to from `start` by going on with what is not computed.
fn circle(derived: &[Derived], reads: &Reads, pending: &[usize], start: usize) -> SettingError {
    let next = |place: usize| {
        reads.names[place].iter().filter_map(|name| reads.place(name)).find(|place| pending[*place] > 0).unwrap_or(place)
    };
    let mut steps = vec![start];
    let mut step_of = vec![None; derived.len()];
    step_of[start] = Some(0);
    let first = loop {
        let place = next(steps[steps.len() - 1]);
        if let Some(first) = step_of[place] {
            steps.push(place);
            break first;
        }
        step_of[place] = Some(steps.len());
        steps.push(place);
    };
    let mut shown: Vec<&str> = steps[first..].iter().map(|place| derived[*place].name.as_str()).collect();
    let begin = shown[0];
    if shown.len() > SHOWN_LINKS + 1 {
        shown.splice(SHOWN_LINKS - 1..shown.len() - 2, ["…"]);
    }
    let message = format!("features are derived from each other in a circle: {}", shown.join(" → "));
    SettingError::new(&["engineer", "derive", begin], message)
}

/// The program of one derived feature over the inputs before it.
pub(crate) fn compile(
    schema: &Schema,
    section: &EngineerSection,
    inputs: &Inputs,
    (feature, text): (&str, &str),
    expression: &Expression,
) -> Result<Program, SettingError> {
    let fault = |error: &SyntaxError| SettingError::new(&["engineer", "derive", feature], error.show(text));
    check_dates(schema, expression).map_err(|error| fault(&error))?;
    let mut bind = |name: &str, at: usize| {
        if name == REFERENCE_YEAR {
            let year = section.reference_year.ok_or_else(|| SyntaxError::new(at, "engineer.reference_year is not set"))?;
            return Ok(Binding::Constant(f64::from(year)));
        }
        if let Some(place) = inputs.place(name) {
            return Ok(Binding::Column(place));
        }
        Err(SyntaxError::new(
            at,
            match schema.column(name) {
                Some(column) => {
                    format!("\"{name}\" is of type {}: only numbers and dates can be computed with", column.spec.kind.name())
                }
                None => unknown_name(name, schema, inputs),
            },
        ))
    };
    Program::compile(expression, &mut bind).map_err(|error| fault(&error))
}

/// `year(...)` and its like take a date column and nothing else.
fn check_dates(schema: &Schema, expression: &Expression) -> Result<(), SyntaxError> {
    match expression {
        Expression::Call { function, at, arguments } => {
            let is_date = |argument: &Expression| {
                matches!(argument, Expression::Name { name, .. }
                    if schema.column(name).is_some_and(|column| column.spec.kind == ColumnType::Date))
            };
            if is_calendar(function) && !arguments.iter().all(is_date) {
                return Err(SyntaxError::new(*at, format!("{function} takes a column of type date")));
            }
            arguments.iter().try_for_each(|argument| check_dates(schema, argument))
        }
        Expression::Negate(inner) => check_dates(schema, inner),
        Expression::Binary(_, left, right) => check_dates(schema, left).and_then(|()| check_dates(schema, right)),
        Expression::Number(_) | Expression::Name { .. } => Ok(()),
    }
}

/// The names in an expression, in the order of its text.
fn names(expression: &Expression) -> Vec<&str> {
    let mut names = Vec::new();
    let mut open = vec![expression];
    while let Some(expression) = open.pop() {
        match expression {
            Expression::Number(_) => {}
            Expression::Name { name, .. } => names.push(name.as_str()),
            Expression::Negate(inner) => open.push(inner),
            Expression::Binary(_, left, right) => open.extend([&**right, &**left]),
            Expression::Call { arguments, .. } => open.extend(arguments.iter().rev()),
        }
    }
    names
}

/// What is said of a name that is no column.
pub(crate) fn unknown_name(name: &str, schema: &Schema, inputs: &Inputs) -> String {
    let known = schema.columns().iter().map(|column| column.name.as_str()).chain(inputs.names().iter().map(String::as_str));
    let hint = schema::nearest(name, known).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
    format!("there is no column {}{hint}", schema::quoted(name))
}
