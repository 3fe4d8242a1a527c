//! Parts of a date given as days since 1970-01-01.

use jiff::{ToSpan, civil::Date};

/// Which part of a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// Such as 2014.
    Year,
    /// 1 to 12.
    Month,
    /// 1 to 31.
    Day,
    /// 1 for Monday to 7 for Sunday, as ISO 8601.
    Weekday,
}

/// The part of the day `days`; NaN where that is missing or beyond the calendar.
pub(crate) fn part_of(days: f64, part: Part) -> f64 {
    if !days.is_finite() || days.abs() > 4e6 {
        return f64::NAN;
    }
    let Ok(date) = Date::constant(1970, 1, 1).checked_add((days.floor() as i64).days()) else { return f64::NAN };
    match part {
        Part::Year => f64::from(date.year()),
        Part::Month => f64::from(date.month()),
        Part::Day => f64::from(date.day()),
        Part::Weekday => f64::from(date.weekday().to_monday_one_offset()),
    }
}
