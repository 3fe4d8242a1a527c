//! Derived features: parsing, order of computation, and compilation.

use std::{cmp::Reverse, collections::BinaryHeap};

use rustc_hash::FxHashMap;
use schema::{ColumnType, EngineerSection, Schema, SettingError};

use crate::{
    expression::{Binding, Program, is_calendar},
    expression_parser::{Expression, SyntaxError, parse},
    inputs::Inputs,
};

const REFERENCE_YEAR: &str = "reference_year";

/// A derived feature with its parsed expression.
pub(crate) struct DerivedFeature {
    pub(crate) name: String,
    pub(crate) expression: Expression,
}

/// Largest number of derived features.
pub(crate) const MAX_DERIVED: usize = 2_000;

/// Parses all expressions.
pub(crate) fn parse_all(schema: &Schema, section: &EngineerSection) -> Result<Vec<DerivedFeature>, SettingError> {
    let count = section.derive.0.len();
    if count > MAX_DERIVED {
        let message = format!("lists {count} features; at most {MAX_DERIVED} are allowed");
        return Err(SettingError::new(&["engineer", "derive"], message));
    }
    let mut derived = Vec::new();
    for (name, text) in section.derive.iter() {
        let error_at = |message: String| SettingError::new(&["engineer", "derive", name], message);
        if schema.column(name).is_some() || name == REFERENCE_YEAR || name == schema::SPLIT_COLUMN {
            return Err(error_at(format!("the name \"{name}\" is taken; choose another")));
        }
        schema::check_file_name(name).map_err(error_at)?;
        let expression = parse(text).map_err(|error| error_at(error.show(text)))?;
        derived.push(DerivedFeature { name: name.to_owned(), expression });
    }
    Ok(derived)
}

/// The names that each derived feature reads, and the index of each feature by name.
struct Dependencies<'a> {
    places: FxHashMap<&'a str, usize>,
    /// Names that each feature reads, in the order of its text.
    names: Vec<Vec<&'a str>>,
}

impl<'a> Dependencies<'a> {
    fn from_features(derived: &'a [DerivedFeature]) -> Self {
        let places = derived.iter().zip(0..).map(|(feature, place)| (feature.name.as_str(), place)).collect();
        Self { places, names: derived.iter().map(|feature| names(&feature.expression)).collect() }
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

/// Rejects a derived feature that reads the target, directly or through others; the error names the chain.
pub(crate) fn reject_target_readers(schema: &Schema, derived: &[DerivedFeature]) -> Result<(), SettingError> {
    let target = schema.target().name.as_str();
    let reads = Dependencies::from_features(derived);
    // depth-first search: the first chain to the target ends the search
    let mut visited = vec![false; derived.len()];
    for start in 0..derived.len() {
        // features on the current chain, each with the number of its names that were visited
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
            if let Some(next) = reads.index_of(name).filter(|next| !visited[*next]) {
                visited[next] = true;
                chain.push((next, 0));
            }
        }
    }
    Ok(())
}

/// Largest number of links of a chain in a message.
const MAX_LINKS_SHOWN: usize = 10;

fn reads_target(target: &str, chain: &[(usize, usize)], derived: &[DerivedFeature]) -> SettingError {
    let steps: Vec<&str> = chain.iter().map(|(place, _)| derived[*place].name.as_str()).chain([target]).collect();
    let mut links: Vec<String> = steps.windows(2).map(|pair| format!("{} reads {}", pair[0], pair[1])).collect();
    if links.len() > MAX_LINKS_SHOWN {
        let left_out = links.len() - MAX_LINKS_SHOWN;
        links.splice(MAX_LINKS_SHOWN - 1..links.len() - 1, [format!("so on over {left_out} more")]);
    }
    let message = format!(
        "{}, the target. A feature computed from the target is not available for predictions. Remove it",
        links.join(", and ")
    );
    SettingError::new(&["engineer", "derive", steps[0]], message)
}

/// The order of computation: of all features whose inputs are available, the first in the configuration is next.
pub(crate) fn order(derived: &[DerivedFeature]) -> Result<Vec<usize>, SettingError> {
    let reads = Dependencies::from_features(derived);
    let mut unmet = vec![0; derived.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); derived.len()];
    for (reader, names) in reads.names.iter().enumerate() {
        for place in names.iter().filter_map(|name| reads.index_of(name)) {
            unmet[reader] += 1;
            readers[place].push(reader);
        }
    }
    let mut computable: BinaryHeap<Reverse<usize>> =
        (0..derived.len()).filter(|place| unmet[*place] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(derived.len());
    while let Some(Reverse(next)) = computable.pop() {
        order.push(next);
        for reader in &readers[next] {
            unmet[*reader] -= 1;
            if unmet[*reader] == 0 {
                computable.push(Reverse(*reader));
            }
        }
    }
    match unmet.iter().position(|unmet| *unmet > 0) {
        None => Ok(order),
        Some(start) => Err(cycle_error(derived, &reads, &unmet, start)),
    }
}

/// The error for a cycle among the features that cannot be computed, starting from `start`.
fn cycle_error(derived: &[DerivedFeature], reads: &Dependencies, unmet: &[usize], start: usize) -> SettingError {
    let next = |place: usize| {
        reads.names[place].iter().filter_map(|name| reads.index_of(name)).find(|place| unmet[*place] > 0).unwrap_or(place)
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
    let mut names: Vec<&str> = steps[first..].iter().map(|place| derived[*place].name.as_str()).collect();
    let begin = names[0];
    if names.len() > MAX_LINKS_SHOWN + 1 {
        names.splice(MAX_LINKS_SHOWN - 1..names.len() - 2, ["…"]);
    }
    let message = format!("features depend on each other in a cycle: {}", names.join(" → "));
    SettingError::new(&["engineer", "derive", begin], message)
}

/// Compiles one derived feature to a program over the inputs before it.
pub(crate) fn compile(
    schema: &Schema,
    section: &EngineerSection,
    inputs: &Inputs,
    (feature, text): (&str, &str),
    expression: &Expression,
) -> Result<Program, SettingError> {
    let error_at = |error: &SyntaxError| SettingError::new(&["engineer", "derive", feature], error.show(text));
    check_dates(schema, expression).map_err(|error| error_at(&error))?;
    let mut bind = |name: &str, at: usize| {
        if name == REFERENCE_YEAR {
            let year = section.reference_year.ok_or_else(|| SyntaxError::new(at, "engineer.reference_year is not set"))?;
            return Ok(Binding::Constant(f64::from(year)));
        }
        if let Some(place) = inputs.index_of(name) {
            return Ok(Binding::Column(place));
        }
        Err(SyntaxError::new(
            at,
            match schema.column(name) {
                Some(column) => {
                    format!("\"{name}\" is of type {}; expressions accept only numbers and dates", column.spec.kind.name())
                }
                None => unknown_name(name, schema, inputs),
            },
        ))
    };
    Program::compile(expression, &mut bind).map_err(|error| error_at(&error))
}

/// Checks that `year(...)` and the other calendar functions have a date column as argument.
fn check_dates(schema: &Schema, expression: &Expression) -> Result<(), SyntaxError> {
    match expression {
        Expression::Call { function, at, arguments } => {
            let is_date = |argument: &Expression| {
                matches!(argument, Expression::Name { name, .. }
                    if schema.column(name).is_some_and(|column| column.spec.kind == ColumnType::Date))
            };
            if is_calendar(function) && !arguments.iter().all(is_date) {
                return Err(SyntaxError::new(*at, format!("{function} needs a column of type date")));
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

/// The message for an unknown column.
pub(crate) fn unknown_name(name: &str, schema: &Schema, inputs: &Inputs) -> String {
    let known = schema.columns().iter().map(|column| column.name.as_str()).chain(inputs.names().iter().map(String::as_str));
    let hint = schema::closest_match(name, known).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
    format!("there is no column {}{hint}", schema::quoted(name))
}
