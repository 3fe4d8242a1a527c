//! Formatting of numbers for people.

/// An integer with thousands separators: `21,597`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (coordinate, digit) in digits.chars().enumerate() {
        if coordinate > 0 && (digits.len() - coordinate).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with about four significant digits and thousands separators: `177,000`, `0.9652`, `6.1e-7`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "–".into()
    } else if size >= 1e15 || (size < 1e-4 && size > 0.0) {
        format!("{value:.3e}")
    } else if value.fract() == 0.0 || size >= 1000.0 {
        // no separators below 10,000, because of years
        let (sign, whole) = (if value.round() < 0.0 { "−" } else { "" }, size.round() as u64);
        if whole < 10_000 { format!("{sign}{whole}") } else { format!("{sign}{}", count(whole)) }
    } else {
        let places = if size >= 100.0 {
            1
        } else if size >= 10.0 {
            2
        } else if size >= 1.0 {
            3
        } else {
            4
        };
        digits(value, places).trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Like [`number`], with separators from 1,000 on: `9,237`.
pub fn amount(value: f64) -> String {
    let size = value.abs();
    if !(1000.0..1e15).contains(&size) {
        return number(value);
    }
    format!("{}{}", if value < 0.0 { "−" } else { "" }, count(size.round() as u64))
}

/// A number with this number of decimals.
pub fn digits(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}").replace('-', "−") } else { "–".into() }
}

/// A share as a percentage: `6.4 %`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        value if !value.is_finite() => "–".into(),
        value if value > 0.0 && value < 0.1 => "< 0.1 %".into(),
        value => format!("{} %", digits(value, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_people() {
        let formatted = [0.0, 177_000.0, -1234.4, 0.96519, 12.345, 123.45, 0.000_000_61, 1e18, f64::NAN, -0.4].map(number);
        let expected = ["0", "177,000", "−1234", "0.9652", "12.35", "123.5", "6.100e-7", "1.000e18", "–", "−0.4"];
        assert_eq!(formatted, expected);
        assert_eq!([9237.4, -1234.0, 12.345, 0.5, f64::NAN].map(amount), ["9,237", "−1,234", "12.35", "0.5", "–"]);
        assert_eq!([0, 999, 1000, 21_597, 1_000_000].map(count), ["0", "999", "1,000", "21,597", "1,000,000"]);
        assert_eq!([0.0, 0.0001, 0.064, 1.0].map(percent), ["0.0 %", "< 0.1 %", "6.4 %", "100.0 %"]);
    }
}
