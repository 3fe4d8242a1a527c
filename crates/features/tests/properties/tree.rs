//! Random expressions as trees: their text, and their value by a second evaluator.

use proptest::{collection::vec, prelude::*, sample::select};

/// Columns of numbers, as written in an expression.
pub(crate) const NUMBERS: [(&str, &str); 4] =
    [("a", "a"), ("lot area", "`lot area`"), ("größe_2", "größe_2"), ("min", "`min`")];
/// A column of dates.
pub(crate) const DATE: &str = "sold";
/// The value of `reference_year`.
pub(crate) const REFERENCE_YEAR: i32 = 2026;

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Number(f64, usize),
    /// An index into [`NUMBERS`].
    Column(usize),
    Date,
    ReferenceYear,
    Minus(Box<Tree>),
    Plus(Box<Tree>),
    Operator(char, Box<Tree>, Box<Tree>),
    Function(&'static str, Vec<Tree>),
    Calendar(&'static str),
}

pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let number = prop_oneof![
        4 => select(vec![0.0, 1.0, 2.0, 0.5, 3.0, 10.0, 1e9]),
        1 => 0.0..1e4_f64,
        1 => any::<f64>().prop_map(|value| if value.is_finite() { value.abs() } else { 1e308 }),
    ];
    let leaf = prop_oneof![
        3 => (number, 0_usize..3).prop_map(|(value, form)| Tree::Number(value, form)),
        5 => (0..NUMBERS.len()).prop_map(Tree::Column),
        1 => Just(Tree::Date),
        1 => Just(Tree::ReferenceYear),
        1 => select(vec!["year", "month", "day", "weekday"]).prop_map(Tree::Calendar),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let unary = select(vec!["log", "log1p", "exp", "sqrt", "abs", "floor", "round"]);
        prop_oneof![
            3 => boxed().prop_map(Tree::Minus),
            1 => boxed().prop_map(Tree::Plus),
            8 => (select(vec!['+', '-', '*', '/', '^']), boxed(), boxed())
                .prop_map(|(operator, left, right)| Tree::Operator(operator, left, right)),
            2 => (unary, inner.clone()).prop_map(|(name, argument)| Tree::Function(name, vec![argument])),
            1 => (select(vec!["pow", "if_missing"]), vec(inner.clone(), 2)).prop_map(|(name, both)| Tree::Function(name, both)),
            1 => (select(vec!["min", "max"]), vec(inner.clone(), 2..5)).prop_map(|(name, all)| Tree::Function(name, all)),
        ]
    })
}

/// How strongly an expression holds together: sums 1, products 3, signs 5, powers 6, everything else 7.
fn strength(tree: &Tree) -> u8 {
    match tree {
        Tree::Operator('+' | '-', ..) => 1,
        Tree::Operator('*' | '/', ..) => 3,
        Tree::Minus(_) | Tree::Plus(_) => 5,
        Tree::Operator(..) => 6,
        _ => 7,
    }
}

/// Decides how an expression is written where there is a choice.
pub(crate) struct Style {
    /// For each expression in turn: pairs of parentheses that are not needed, and spaces.
    choices: Vec<(u8, u8)>,
    next: usize,
}

impl Style {
    /// As few parentheses as possible, and no space.
    pub(crate) fn minimal() -> Self {
        Self { choices: vec![(0, 0)], next: 0 }
    }

    fn choice(&mut self) -> (usize, &'static str) {
        let (parentheses, space) = self.choices[self.next % self.choices.len()];
        self.next += 1;
        (parentheses.into(), ["", " ", "\t ", "\n"][usize::from(space)])
    }
}

/// Needless parentheses and spaces at random.
pub(crate) fn redundant() -> impl Strategy<Value = Style> {
    vec((0_u8..3, 0_u8..4), 1..20).prop_map(|choices| Style { choices, next: 0 })
}

impl std::fmt::Debug for Style {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:?}", self.choices)
    }
}

/// The text of an expression where at least `least` is needed to hold it together.
pub(crate) fn render(tree: &Tree, least: u8, style: &mut Style) -> String {
    let (more, space) = style.choice();
    let parentheses = more + usize::from(strength(tree) < least);
    let text = match tree {
        Tree::Number(value, 0) => format!("{value}"),
        Tree::Number(value, 1) => format!("{value:e}"),
        Tree::Number(value, _) => format!("{value:?}").trim_start_matches('0').replace("e-", "E-"),
        Tree::Column(column) => NUMBERS[*column].1.to_owned(),
        Tree::Date => DATE.to_owned(),
        Tree::ReferenceYear => "reference_year".to_owned(),
        Tree::Minus(inner) => format!("-{space}{}", render(inner, 5, style)),
        Tree::Plus(inner) => format!("+{space}{}", render(inner, 5, style)),
        Tree::Operator(operator, left, right) => {
            let (left_least, right_least) = match operator {
                '+' | '-' => (1, 2),
                '*' | '/' => (3, 4),
                _ => (7, 5),
            };
            format!("{}{space}{operator}{space}{}", render(left, left_least, style), render(right, right_least, style))
        }
        Tree::Function(name, arguments) => {
            let arguments: Vec<String> = arguments.iter().map(|argument| render(argument, 0, style)).collect();
            format!("{name}{space}({})", arguments.join(&format!("{space},")))
        }
        Tree::Calendar(name) => format!("{name}({space}{DATE}{space})"),
    };
    format!("{}{space}{text}{space}{}", "(".repeat(parentheses), ")".repeat(parentheses))
}

/// The values of one row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) numbers: [Option<f64>; 4],
    pub(crate) date: Option<f64>,
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let number = || {
        prop_oneof![
            2 => Just(None),
            6 => select(vec![0.0, -0.0, 1.0, -1.0, 2.0, -0.5, 2.5, -2.5, 1e300, f64::MAX, f64::MIN_POSITIVE]).prop_map(Some),
            4 => (-1e4..1e4_f64).prop_map(Some),
            1 => any::<f64>().prop_map(|value| Some(value).filter(|value| value.is_finite())),
        ]
    };
    let days = prop_oneof![
        8 => (-800_000..2_932_896_i32).prop_map(|days| Some(days.into())),
        2 => (-40_000..40_000_i32).prop_map(|days| Some(days.into())),
        1 => Just(None),
    ];
    ([number(), number(), number(), number()], days).prop_map(|(numbers, date)| Row { numbers, date })
}

/// Year, month, day and ISO weekday of a day, by Hinnant's algorithm ("chrono-Compatible Low-Level Date Algorithms", 2021).
fn calendar(days: i64) -> [i64; 4] {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // 1970-01-01 was a Thursday
    [year, month, day, (days + 3).rem_euclid(7) + 1]
}

/// The value of an expression; `None` is missing.
pub(crate) fn evaluate(tree: &Tree, row: &Row) -> Option<f64> {
    let value = match tree {
        Tree::Number(value, _) => *value,
        Tree::Column(column) => row.numbers[*column]?,
        Tree::Date => row.date?,
        Tree::ReferenceYear => f64::from(REFERENCE_YEAR),
        Tree::Minus(inner) => -evaluate(inner, row)?,
        Tree::Plus(inner) => evaluate(inner, row)?,
        Tree::Operator(operator, left, right) => {
            let (left, right) = (evaluate(left, row)?, evaluate(right, row)?);
            match operator {
                '+' => left + right,
                '-' => left - right,
                '*' => left * right,
                '/' => left / right,
                _ => left.powf(right),
            }
        }
        Tree::Function("if_missing", both) => evaluate(&both[0], row).or_else(|| evaluate(&both[1], row))?,
        Tree::Function(name, arguments) => {
            let values: Vec<f64> = arguments.iter().map(|argument| evaluate(argument, row)).collect::<Option<_>>()?;
            match *name {
                "log" => values[0].ln(),
                "log1p" => values[0].ln_1p(),
                "exp" => values[0].exp(),
                "sqrt" => values[0].sqrt(),
                "abs" => values[0].abs(),
                "floor" => values[0].floor(),
                "round" => values[0].signum() * (values[0].abs().trunc() + f64::from(values[0].abs().fract() >= 0.5)),
                "pow" => values[0].powf(values[1]),
                "min" => values.into_iter().reduce(|least, value| if value < least { value } else { least })?,
                _ => values.into_iter().reduce(|most, value| if value > most { value } else { most })?,
            }
        }
        Tree::Calendar(name) => {
            let place = ["year", "month", "day", "weekday"].iter().position(|known| known == name)?;
            calendar(row.date? as i64)[place] as f64
        }
    };
    Some(value).filter(|value| value.is_finite())
}
