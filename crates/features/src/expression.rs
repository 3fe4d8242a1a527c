//! Compilation of expressions to stack programs, and their evaluation.

use crate::{
    calendar::{DatePart, date_part},
    expression_parser::{Expression, Operator, SyntaxError},
};

/// A step of a program on a stack of numbers, where NaN is a missing value. A result that is not finite becomes missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Pushes a number.
    Constant(f64),
    /// Pushes the value of the input with this index.
    Column(usize),
    /// Replaces the topmost value.
    Unary(Unary),
    /// Replaces the two topmost values.
    Binary(Binary),
}

/// An operation on one value; missing if the value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// The negative.
    Negate,
    /// The natural logarithm.
    Log,
    /// The natural logarithm of 1 + x.
    Log1p,
    /// The exponential.
    Exp,
    /// The square root.
    Sqrt,
    /// The absolute value.
    Abs,
    /// The largest integer that is not greater.
    Floor,
    /// The nearest integer, halves away from zero.
    Round,
    /// A part of a date (days since 1970-01-01).
    Calendar(DatePart),
}

/// An operation on two values; missing if one is, except for `IfMissing`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    /// `+ - * / ^`.
    Arithmetic(Operator),
    /// The smaller value.
    Min,
    /// The larger value.
    Max,
    /// The first value, or the second if the first is missing.
    IfMissing,
}

/// Functions with their number of arguments (`usize::MAX`: two or more).
const FUNCTIONS: [(&str, usize); 15] = [
    ("log", 1),
    ("log1p", 1),
    ("exp", 1),
    ("sqrt", 1),
    ("abs", 1),
    ("floor", 1),
    ("round", 1),
    ("year", 1),
    ("month", 1),
    ("day", 1),
    ("weekday", 1),
    ("pow", 2),
    ("if_missing", 2),
    ("min", usize::MAX),
    ("max", usize::MAX),
];

/// True if `function` returns a part of a date.
pub(crate) fn is_calendar(function: &str) -> bool {
    calendar(function).is_some()
}

fn calendar(function: &str) -> Option<DatePart> {
    Some(match function {
        "year" => DatePart::Year,
        "month" => DatePart::Month,
        "day" => DatePart::Day,
        "weekday" => DatePart::Weekday,
        _ => return None,
    })
}

/// A compiled expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    steps: Vec<Step>,
}

/// The meaning of a name in an expression.
pub(crate) enum Binding {
    Constant(f64),
    Column(usize),
}

impl Program {
    /// Compiles `expression`; `bind` resolves a name at a position of the text.
    pub(crate) fn compile(
        expression: &Expression,
        bind: &mut dyn FnMut(&str, usize) -> Result<Binding, SyntaxError>,
    ) -> Result<Self, SyntaxError> {
        let mut steps = Vec::new();
        push(expression, bind, &mut steps)?;
        Ok(Self { steps })
    }

    /// The steps; the result is what they leave on the stack.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The value of each row. `columns[i]` are the values of input `i`.
    pub(crate) fn run(&self, columns: &[Vec<f64>], rows: usize) -> Vec<f64> {
        let mut stack = Vec::with_capacity(self.steps.len());
        (0..rows).map(|row| self.value(|column| columns[column][row], &mut stack)).collect()
    }

    /// The value of one row. `cell` returns the value of an input.
    pub(crate) fn value(&self, cell: impl Fn(usize) -> f64, stack: &mut Vec<f64>) -> f64 {
        stack.clear();
        for step in &self.steps {
            let value = match *step {
                Step::Constant(value) => value,
                Step::Column(column) => cell(column),
                Step::Unary(operation) => apply_unary(operation, pop(stack)),
                Step::Binary(operation) => {
                    let right = pop(stack);
                    apply_binary(operation, pop(stack), right)
                }
            };
            stack.push(if value.is_finite() { value } else { f64::NAN });
        }
        pop(stack)
    }
}

fn pop(stack: &mut Vec<f64>) -> f64 {
    stack.pop().unwrap_or(f64::NAN)
}

fn apply_unary(operation: Unary, value: f64) -> f64 {
    match operation {
        Unary::Negate => -value,
        Unary::Log => value.ln(),
        Unary::Log1p => value.ln_1p(),
        Unary::Exp => value.exp(),
        Unary::Sqrt => value.sqrt(),
        Unary::Abs => value.abs(),
        Unary::Floor => value.floor(),
        Unary::Round => value.round(),
        Unary::Calendar(part) => date_part(value, part),
    }
}

fn apply_binary(operation: Binary, left: f64, right: f64) -> f64 {
    match operation {
        Binary::IfMissing => {
            if left.is_nan() {
                right
            } else {
                left
            }
        }
        _ if left.is_nan() || right.is_nan() => f64::NAN,
        Binary::Arithmetic(Operator::Add) => left + right,
        Binary::Arithmetic(Operator::Subtract) => left - right,
        Binary::Arithmetic(Operator::Multiply) => left * right,
        Binary::Arithmetic(Operator::Divide) => left / right,
        Binary::Arithmetic(Operator::Power) => left.powf(right),
        Binary::Min => left.min(right),
        Binary::Max => left.max(right),
    }
}

fn push(
    expression: &Expression,
    bind: &mut dyn FnMut(&str, usize) -> Result<Binding, SyntaxError>,
    steps: &mut Vec<Step>,
) -> Result<(), SyntaxError> {
    match expression {
        Expression::Number(value) => steps.push(Step::Constant(*value)),
        Expression::Name { name, at } => steps.push(match bind(name, *at)? {
            Binding::Constant(value) => Step::Constant(value),
            Binding::Column(column) => Step::Column(column),
        }),
        Expression::Negate(inner) => {
            push(inner, bind, steps)?;
            steps.push(Step::Unary(Unary::Negate));
        }
        Expression::Binary(operator, left, right) => {
            push(left, bind, steps)?;
            push(right, bind, steps)?;
            steps.push(Step::Binary(Binary::Arithmetic(*operator)));
        }
        Expression::Call { function, at, arguments } => {
            check_arity(function, *at, arguments.len())?;
            push(&arguments[0], bind, steps)?;
            if arguments.len() == 1 {
                steps.push(Step::Unary(unary(function)));
            }
            for argument in &arguments[1..] {
                push(argument, bind, steps)?;
                steps.push(Step::Binary(binary(function)));
            }
        }
    }
    Ok(())
}

fn check_arity(function: &str, at: usize, count: usize) -> Result<(), SyntaxError> {
    let Some((_, arity)) = FUNCTIONS.iter().find(|(name, _)| *name == function) else {
        let near = schema::closest_match(function, FUNCTIONS.iter().map(|(name, _)| *name));
        let hint = near.map_or(String::new(), |near| format!(" (did you mean {near}?)"));
        return Err(SyntaxError::new(at, format!("function \"{function}\" does not exist{hint}")));
    };
    match *arity {
        usize::MAX if count < 2 => Err(SyntaxError::new(at, format!("{function} needs two or more arguments, not {count}"))),
        usize::MAX => Ok(()),
        arity if arity != count => Err(SyntaxError::new(at, format!("{function} needs {arity} argument(s), not {count}"))),
        _ => Ok(()),
    }
}

fn unary(function: &str) -> Unary {
    match function {
        "log" => Unary::Log,
        "log1p" => Unary::Log1p,
        "exp" => Unary::Exp,
        "sqrt" => Unary::Sqrt,
        "floor" => Unary::Floor,
        "round" => Unary::Round,
        _ => calendar(function).map_or(Unary::Abs, Unary::Calendar),
    }
}

fn binary(function: &str) -> Binary {
    match function {
        "pow" => Binary::Arithmetic(Operator::Power),
        "min" => Binary::Min,
        "max" => Binary::Max,
        _ => Binary::IfMissing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression_parser::parse;

    fn compile(text: &str) -> Result<Program, String> {
        let names = ["a", "b", "lot area"];
        let mut bind = |name: &str, at: usize| {
            names
                .iter()
                .position(|known| *known == name)
                .map(Binding::Column)
                .ok_or_else(|| SyntaxError::new(at, format!("unknown {name}")))
        };
        let parsed = parse(text).map_err(|error| error.show(text))?;
        Program::compile(&parsed, &mut bind).map_err(|error| error.show(text))
    }

    fn value(text: &str, a: f64, b: f64) -> f64 {
        compile(text).unwrap().run(&[vec![a], vec![b], vec![7.0]], 1)[0]
    }

    #[test]
    fn arithmetic_has_the_usual_precedence() {
        for (text, expected) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("8 / 4 / 2", 1.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("-2 ^ 2", -4.0),
            ("2 * -3", -6.0),
            ("2 ^ -1", 0.5),
            ("10 - 3 - 2", 5.0),
            ("1.5e2 + .5", 150.5),
            ("a / b", 1.5),
            ("`lot area` + a", 10.0),
            ("min(a, b, 1)", 1.0),
            ("max(a, b)", 3.0),
            ("pow(b, 3)", 8.0),
            ("sqrt(abs(-16))", 4.0),
            ("log(exp(a))", 3.0),
            ("round(2.5) + floor(2.9)", 5.0),
            ("year(16356) * 10000 + month(16356) * 100 + day(16356)", 20_141_013.0),
            ("weekday(0)", 4.0),
            ("year(-1)", 1969.0),
        ] {
            let result = value(text, 3.0, 2.0);
            assert!((result - expected).abs() < 1e-12, "{text} is {result}, not {expected}");
        }
    }

    #[test]
    fn undefined_values_are_missing() {
        for text in ["a / 0", "log(0)", "log(-1)", "sqrt(-1)", "a + b", "min(a, b)", "exp(1000)", "b * 2", "year(b)"] {
            assert!(value(text, 3.0, f64::NAN).is_nan(), "{text}");
        }
        assert_eq!(value("if_missing(a / 0, 5)", 3.0, 2.0), 5.0);
    }

    #[test]
    fn errors_show_the_position() {
        for (text, expected) in [
            ("a +", "a value is missing at character 4\n  a +\n     ^"),
            ("(a", "a closing bracket is missing at character 3\n  (a\n    ^"),
            ("a b", "expected an operator, found \"b\" at character 3\n  a b\n    ^"),
            ("a * / b", "expected a value, found \"/\" at character 5\n  a * / b\n      ^"),
            ("a $ b", "\"$\" is not a valid character at character 3\n  a $ b\n    ^"),
            ("sqt(a)", "function \"sqt\" does not exist (did you mean sqrt?) at character 1\n  sqt(a)\n  ^"),
            ("log(a, b)", "log needs 1 argument(s), not 2 at character 1\n  log(a, b)\n  ^"),
            ("max(a)", "max needs two or more arguments, not 1 at character 1\n  max(a)\n  ^"),
            ("min()", "min needs two or more arguments, not 0 at character 1\n  min()\n  ^"),
            ("1.2.3", "\"1.2.3\" is not a number at character 1\n  1.2.3\n  ^"),
            ("`a", "a backtick is not closed at character 1\n  `a\n  ^"),
            ("", "a value is missing at character 1\n  \n  ^"),
        ] {
            assert_eq!(compile(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn errors_show_the_part_of_a_long_expression() {
        let text = format!("{}* 1{}", "a+".repeat(99), "+a".repeat(99));
        let expected = format!(
            "expected a value, found \"*\" at character 199\n  …{}* 1{}+…\n  {}^",
            "a+".repeat(30),
            "+a".repeat(28),
            " ".repeat(61)
        );
        assert_eq!(compile(&text).unwrap_err(), expected);
    }

    #[test]
    fn the_depth_of_expressions_is_limited() {
        for text in ["(".repeat(9_000), "-".repeat(9_000), "abs(".repeat(2_000), "2^".repeat(4_000)] {
            assert!(compile(&text).is_err());
        }
        assert!(compile(&"1+".repeat(6_000)).unwrap_err().starts_with("the expression is longer than 10000 bytes"));
    }
}
