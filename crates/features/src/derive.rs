//! Derived features: their expressions checked against the table, put in an order in which they can be computed, and compiled.

use schema::{ColumnType, EngineerSection, Schema, SettingError};

use crate::{
    expression::{Binding, Program, is_calendar},
    parse::{Expression, SyntaxError, parse},
};

const REFERENCE_YEAR: &str = "reference_year";

/// A derived feature as parsed.
pub(crate) struct Derived {
    pub(crate) name: String,
    pub(crate) expression: Expression,
}

/// Parses every expression.
pub(crate) fn parse_all(schema: &Schema, section: &EngineerSection) -> Result<Vec<Derived>, SettingError> {
    let mut derived = Vec::new();
    for (name, text) in section.derive.iter() {
        let fault = |message: String| SettingError::new(&["engineer", "derive", name], message);
        if schema.column(name).is_some() || name == REFERENCE_YEAR || name == schema::SPLIT_COLUMN {
            return Err(fault(format!("the name \"{name}\" is taken; choose another")));
        }
        let expression = parse(text).map_err(|error| fault(error.show(text)))?;
        derived.push(Derived { name: name.to_owned(), expression });
    }
    Ok(derived)
}

/// Refuses a derived feature that reads the target, straight or through others, naming the chain.
pub(crate) fn refuse_target(schema: &Schema, derived: &[Derived]) -> Result<(), SettingError> {
    let target = &schema.target().name;
    for feature in derived {
        if let Some(chain) = chain_to(target, feature, derived, &mut Vec::new()) {
            let steps: Vec<&str> = chain.into_iter().chain([target.as_str()]).collect();
            let links: Vec<String> = steps.windows(2).map(|pair| format!("{} reads {}", pair[0], pair[1])).collect();
            let message = format!(
                "{}, the target. A feature made from the target is not there when a price is asked for; remove it",
                links.join(", and ")
            );
            return Err(SettingError::new(&["engineer", "derive", &feature.name], message));
        }
    }
    Ok(())
}

fn chain_to<'a>(
    target: &str,
    feature: &'a Derived,
    derived: &'a [Derived],
    visited: &mut Vec<&'a str>,
) -> Option<Vec<&'a str>> {
    if visited.contains(&feature.name.as_str()) {
        return None;
    }
    visited.push(&feature.name);
    for name in names(&feature.expression) {
        if name == target {
            return Some(vec![&feature.name]);
        }
        if let Some(next) = derived.iter().find(|other| other.name == name)
            && let Some(mut chain) = chain_to(target, next, derived, visited)
        {
            chain.insert(0, &feature.name);
            return Some(chain);
        }
    }
    None
}

/// The order in which derived features can be computed.
pub(crate) fn order(derived: &[Derived]) -> Result<Vec<usize>, SettingError> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < derived.len() {
        let pending =
            |name: &str| derived.iter().position(|feature| feature.name == name).filter(|index| !order.contains(index));
        let next = (0..derived.len())
            .find(|index| !order.contains(index) && names(&derived[*index].expression).all(|name| pending(name).is_none()));
        let Some(next) = next else {
            let start = (0..derived.len()).find(|index| !order.contains(index)).unwrap_or_default();
            let mut cycle = vec![start];
            loop {
                let last = cycle[cycle.len() - 1];
                let Some(step) = names(&derived[last].expression).find_map(pending) else { break };
                if let Some(first) = cycle.iter().position(|index| *index == step) {
                    cycle.drain(..first);
                    cycle.push(step);
                    break;
                }
                cycle.push(step);
            }
            let shown: Vec<&str> = cycle.iter().map(|index| derived[*index].name.as_str()).collect();
            let message = format!("features are derived from each other in a circle: {}", shown.join(" → "));
            return Err(SettingError::new(&["engineer", "derive", shown[0]], message));
        };
        order.push(next);
    }
    Ok(order)
}

/// The program of one derived feature over the inputs before it.
pub(crate) fn compile(
    schema: &Schema,
    section: &EngineerSection,
    inputs: &[String],
    feature: &str,
    expression: &Expression,
) -> Result<Program, SettingError> {
    let text = section.derive.get(feature).map_or("", String::as_str);
    let fault = |error: &SyntaxError| SettingError::new(&["engineer", "derive", feature], error.show(text));
    check_dates(schema, expression).map_err(|error| fault(&error))?;
    let mut bind = |name: &str, at: usize| {
        if name == REFERENCE_YEAR {
            let year = section.reference_year.ok_or_else(|| SyntaxError::new(at, "engineer.reference_year is not set"))?;
            return Ok(Binding::Constant(f64::from(year)));
        }
        if let Some(place) = inputs.iter().position(|input| input == name) {
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

/// The names in the text of an expression that was checked before.
pub(crate) fn names_in(text: &str) -> Vec<String> {
    parse(text).map_or_else(|_| Vec::new(), |expression| names(&expression).map(str::to_owned).collect())
}

fn names(expression: &Expression) -> Box<dyn Iterator<Item = &str> + '_> {
    match expression {
        Expression::Number(_) => Box::new(std::iter::empty()),
        Expression::Name { name, .. } => Box::new(std::iter::once(name.as_str())),
        Expression::Negate(inner) => names(inner),
        Expression::Binary(_, left, right) => Box::new(names(left).chain(names(right))),
        Expression::Call { arguments, .. } => Box::new(arguments.iter().flat_map(names)),
    }
}

/// What is said of a name that is no column.
pub(crate) fn unknown_name(name: &str, schema: &Schema, inputs: &[String]) -> String {
    let known = schema.columns().iter().map(|column| column.name.as_str()).chain(inputs.iter().map(String::as_str));
    let hint = schema::nearest(name, known).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
    format!("there is no column \"{name}\"{hint}")
}
