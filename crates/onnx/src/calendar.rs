//! Dates: parsed from text by patterns, because ONNX has no other access to text, and split into parts by arithmetic.
//!
//! Days and dates are converted as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms" (2014), in integer-valued numbers.

use crate::{
    Unsupported,
    graph::{Graph, Value},
};

/// The parts of a date, as numbers.
pub(crate) struct Date {
    pub(crate) year: Value,
    pub(crate) month: Value,
    pub(crate) day: Value,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn divided(graph: &mut Graph, value: &Value, by: f64) -> Value {
    let by = graph.number(by);
    let quotient = graph.op("Div", &[value, &by]);
    graph.op("Floor", &[&quotient])
}

fn plus(graph: &mut Graph, value: &Value, more: f64) -> Value {
    let more = graph.number(more);
    graph.op("Add", &[value, &more])
}

fn times(graph: &mut Graph, value: &Value, factor: f64) -> Value {
    let factor = graph.number(factor);
    graph.op("Mul", &[value, &factor])
}

fn minus(graph: &mut Graph, left: &Value, right: &Value) -> Value {
    graph.op("Sub", &[left, right])
}

/// The date `days` after 1970-01-01.
pub(crate) fn date_of(graph: &mut Graph, days: &Value) -> Date {
    let days = graph.op("Floor", &[days]);
    let shifted = plus(graph, &days, 719_468.0);
    let era = divided(graph, &shifted, 146_097.0);
    let era_days = times(graph, &era, 146_097.0);
    let of_era = minus(graph, &shifted, &era_days);
    let corrections = [(1460.0, -1.0), (36_524.0, 1.0), (146_096.0, -1.0)];
    let mut corrected = of_era.clone();
    for (by, sign) in corrections {
        let part = divided(graph, &of_era, by);
        let part = times(graph, &part, sign);
        corrected = graph.op("Add", &[&corrected, &part]);
    }
    let year_of_era = divided(graph, &corrected, 365.0);
    let era_years = times(graph, &era, 400.0);
    let year = graph.op("Add", &[&year_of_era, &era_years]);
    let whole_years = days_in_years(graph, &year_of_era);
    let of_year = minus(graph, &of_era, &whole_years);
    // months start in March, so that the leap day is the last day of a year
    let fifths = times(graph, &of_year, 5.0);
    let fifths = plus(graph, &fifths, 2.0);
    let month = divided(graph, &fifths, 153.0);
    let month_days = days_in_months(graph, &month);
    let day = minus(graph, &of_year, &month_days);
    let day = plus(graph, &day, 1.0);
    let ten = graph.number(10.0);
    let same_year = graph.op("Less", &[&month, &ten]);
    let (later, earlier) = (plus(graph, &month, 3.0), plus(graph, &month, -9.0));
    let month = graph.choose(&same_year, &later, &earlier);
    let next_year = plus(graph, &year, 1.0);
    let year = graph.choose(&same_year, &year, &next_year);
    Date { year, month, day }
}

/// Days of this number of years of an era: 365 each, and the leap days.
fn days_in_years(graph: &mut Graph, years: &Value) -> Value {
    let common = times(graph, years, 365.0);
    let (fourth, hundredth) = (divided(graph, years, 4.0), divided(graph, years, 100.0));
    let leap = minus(graph, &fourth, &hundredth);
    graph.op("Add", &[&common, &leap])
}

/// Days from the first of March to the first of the month this number of months later.
fn days_in_months(graph: &mut Graph, months: &Value) -> Value {
    let value = times(graph, months, 153.0);
    let value = plus(graph, &value, 2.0);
    divided(graph, &value, 5.0)
}

/// Days from 1970-01-01 to `date`.
fn days_of(graph: &mut Graph, date: &Date) -> Value {
    let three = graph.number(3.0);
    let early = graph.op("Less", &[&date.month, &three]);
    let last_year = plus(graph, &date.year, -1.0);
    let year = graph.choose(&early, &last_year, &date.year);
    let era = divided(graph, &year, 400.0);
    let era_years = times(graph, &era, 400.0);
    let year_of_era = minus(graph, &year, &era_years);
    let (later, earlier) = (plus(graph, &date.month, 9.0), plus(graph, &date.month, -3.0));
    let month = graph.choose(&early, &later, &earlier);
    let of_year = days_in_months(graph, &month);
    let of_year = graph.op("Add", &[&of_year, &date.day]);
    let of_year = plus(graph, &of_year, -1.0);
    let whole_years = days_in_years(graph, &year_of_era);
    let of_era = graph.op("Add", &[&whole_years, &of_year]);
    let era_days = times(graph, &era, 146_097.0);
    let days = graph.op("Add", &[&era_days, &of_era]);
    plus(graph, &days, -719_468.0)
}

/// 1 for Monday to 7 for Sunday; 1970-01-01 was a Thursday.
pub(crate) fn weekday(graph: &mut Graph, days: &Value) -> Value {
    let days = graph.op("Floor", &[days]);
    let shifted = plus(graph, &days, 3.0);
    let weeks = divided(graph, &shifted, 7.0);
    let weeks = times(graph, &weeks, 7.0);
    let day = minus(graph, &shifted, &weeks);
    plus(graph, &day, 1.0)
}

/// A component of a date's text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FormatPiece {
    Literal(char),
    Blank,
    /// A year of at most four digits.
    Year,
    /// A year of two digits: from 1969 to 2068.
    ShortYear,
    Month,
    /// A full month name.
    LongMonth,
    /// The first three letters of a month name.
    ShortMonth,
    Day,
    /// Two digits of the time of day, which are ignored.
    Time,
}

/// The components of a month.
const MONTH: [FormatPiece; 3] = [FormatPiece::Month, FormatPiece::LongMonth, FormatPiece::ShortMonth];

fn pieces(format: &str) -> Result<Vec<FormatPiece>, Unsupported> {
    let mut pieces = Vec::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character.is_whitespace() {
            pieces.push(FormatPiece::Blank);
            continue;
        }
        if character != '%' {
            pieces.push(FormatPiece::Literal(character));
            continue;
        }
        match rest.next() {
            Some('Y') => pieces.push(FormatPiece::Year),
            Some('y') => pieces.push(FormatPiece::ShortYear),
            Some('m') => pieces.push(FormatPiece::Month),
            Some('B') => pieces.push(FormatPiece::LongMonth),
            Some('b' | 'h') => pieces.push(FormatPiece::ShortMonth),
            Some('d' | 'e') => pieces.push(FormatPiece::Day),
            Some('H' | 'M' | 'S') => pieces.push(FormatPiece::Time),
            Some('F') => pieces.extend(self::pieces("%Y-%m-%d")?),
            Some('D') => pieces.extend(self::pieces("%m/%d/%y")?),
            Some('T') => pieces.extend(self::pieces("%H:%M:%S")?),
            Some('R') => pieces.extend(self::pieces("%H:%M")?),
            Some('%') => pieces.push(FormatPiece::Literal('%')),
            other => {
                let directive = other.map_or("%".to_owned(), |other| format!("%{other}"));
                return Err(Unsupported(format!("dates of the form {format} ({directive} cannot be read in ONNX)")));
            }
        }
    }
    let has = |wanted: &[FormatPiece]| pieces.iter().any(|piece| wanted.contains(piece));
    if has(&[FormatPiece::Year, FormatPiece::ShortYear]) && has(&MONTH) && has(&[FormatPiece::Day]) {
        Ok(pieces)
    } else {
        Err(Unsupported(format!("dates of the form {format}, which lack year, month or day")))
    }
}

/// The pattern of any value of a component.
fn shape(piece: FormatPiece) -> String {
    match piece {
        FormatPiece::Literal(character) => crate::text::escape(&character.to_string()),
        FormatPiece::Blank => format!("{}*", crate::text::WHITESPACE),
        FormatPiece::Year => "[0-9]{1,4}".into(),
        FormatPiece::ShortYear | FormatPiece::Time => "[0-9]{2}".into(),
        FormatPiece::Month | FormatPiece::Day => "[0-9]{1,2}".into(),
        FormatPiece::LongMonth => format!("(?:{})", MONTHS.join("|")),
        FormatPiece::ShortMonth => format!("(?:{})", MONTHS.map(|name| &name[..3]).join("|")),
    }
}

/// The pattern of a date in which component `place` has the pattern `special`.
fn pattern(pieces: &[FormatPiece], tail: &str, place: Option<(usize, &str)>) -> String {
    let piece = |(at, piece): (usize, &FormatPiece)| match place {
        Some((special, look)) if special == at => format!("(?:{look})"),
        _ => shape(*piece),
    };
    let middle: String = pieces.iter().enumerate().map(piece).collect();
    format!("(?is){blank}*{middle}{tail}{blank}*", blank = crate::text::WHITESPACE)
}

/// Days since 1970-01-01 of texts in this format, or in ISO 8601 with an ignored time of day; NaN for other texts.
pub(crate) fn parse(graph: &mut Graph, texts: &Value, format: &str) -> Result<Value, Unsupported> {
    let first = parse_form(graph, texts, &pieces(format)?, "");
    let iso = parse_form(graph, texts, &pieces("%Y-%m-%d")?, "(?:[T ].*)?");
    let missing = graph.op("IsNaN", &[&first]);
    Ok(graph.choose(&missing, &iso, &first))
}

fn parse_form(graph: &mut Graph, texts: &Value, pieces: &[FormatPiece], tail: &str) -> Value {
    let mut number = |wanted: &[FormatPiece], looks: &dyn Fn(FormatPiece) -> Vec<(f64, String)>| {
        let place = pieces.iter().position(|piece| wanted.contains(piece)).unwrap_or_default();
        let mut sum = graph.number(0.0);
        for (value, look) in looks(pieces[place]) {
            let matched = graph.matches(texts, &pattern(pieces, tail, Some((place, &look))));
            let part = graph.number_of(&matched);
            let part = times(graph, &part, value);
            sum = graph.op("Add", &[&sum, &part]);
        }
        sum
    };
    let day = number(&[FormatPiece::Day], &|_| (1..=31).map(|day| (f64::from(day), format!("0?{day}"))).collect());
    let month = number(&MONTH, &|piece| {
        let look = |month: usize| match piece {
            FormatPiece::Month => format!("0?{month}"),
            FormatPiece::ShortMonth => MONTHS[month - 1][..3].to_owned(),
            _ => MONTHS[month - 1].to_owned(),
        };
        (1..=12).map(|month| (month as f64, look(month))).collect()
    });
    let year = number(&[FormatPiece::Year, FormatPiece::ShortYear], &|piece| {
        if piece == FormatPiece::ShortYear {
            let year = |year: i32| f64::from(if year < 69 { 2000 + year } else { 1900 + year });
            return (0..100).map(|short| (year(short), format!("{short:02}"))).collect();
        }
        // digit by digit, at most four digits
        let digit = |place: i32, digit: u32| {
            let value = f64::from(digit) * 10f64.powi(place);
            (value, format!("[0-9]{{0,{}}}{digit}[0-9]{{{place}}}", 3 - place))
        };
        (0..4).flat_map(|place| (1..=9).map(move |value| digit(place, value))).collect()
    });
    let date = Date { year, month, day };
    let days = days_of(graph, &date);
    // the 30th of February is converted back to another day
    let back = date_of(graph, &days);
    let whole = graph.matches(texts, &pattern(pieces, tail, None));
    let same_day = graph.op("Equal", &[&back.day, &date.day]);
    let same_month = graph.op("Equal", &[&back.month, &date.month]);
    let sound = graph.op("And", &[&same_day, &same_month]);
    let sound = graph.op("And", &[&sound, &whole]);
    let nothing = graph.number(f64::NAN);
    graph.choose(&sound, &days, &nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_taken_apart() {
        assert_eq!(
            pieces("%m/%d/%Y").unwrap(),
            [FormatPiece::Month, FormatPiece::Literal('/'), FormatPiece::Day, FormatPiece::Literal('/'), FormatPiece::Year]
        );
        assert_eq!(pieces("%Y%m%dT000000").unwrap().len(), 10);
        assert_eq!(pieces("%Y-%j").unwrap_err().to_string(), "dates of the form %Y-%j (%j cannot be read in ONNX)");
        assert_eq!(pieces("%Y-%m").unwrap_err().to_string(), "dates of the form %Y-%m, which lack year, month or day");
    }
}
