//! Parts of dates, which are days since 1970-01-01.

use jiff::{ToSpan, civil::Date};

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DatePart {
    /// Such as 2014.
    Year,
    /// 1 to 12.
    Month,
    /// 1 to 31.
    Day,
    /// 1 for Monday to 7 for Sunday, as ISO 8601.
    Weekday,
}

/// The part of day `days`; NaN if it is missing or outside the calendar.
pub(crate) fn date_part(days: f64, part: DatePart) -> f64 {
    if !days.is_finite() || days.abs() > 4e6 {
        return f64::NAN;
    }
    let Ok(date) = Date::constant(1970, 1, 1).checked_add((days.floor() as i64).days()) else { return f64::NAN };
    match part {
        DatePart::Year => f64::from(date.year()),
        DatePart::Month => f64::from(date.month()),
        DatePart::Day => f64::from(date.day()),
        DatePart::Weekday => f64::from(date.weekday().to_monday_one_offset()),
    }
}
