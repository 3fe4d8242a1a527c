//! Number of decimals in messages that compare numbers.

/// Largest number of decimals; an [`f64`] has 15 reliable digits.
const MAX_DECIMALS: usize = 15;

/// The smallest number of decimals, from `from` on, for which rounded numbers still compare as `holds` requires. `holds` gets the rounding
/// function.
pub fn decimals(from: usize, holds: impl Fn(&dyn Fn(f64) -> f64) -> bool) -> usize {
    let is_sufficient = |decimals: &usize| holds(&|value| rounded(value, *decimals));
    (from..MAX_DECIMALS).find(is_sufficient).unwrap_or(MAX_DECIMALS)
}

/// A number rounded to `decimals` decimals.
pub fn rounded(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_numbers_have_different_texts() {
        let above = |value: f64, limit: f64, from| {
            let shown = decimals(from, |round| round(value) > round(limit));
            (format!("{value:.shown$}"), format!("{limit:.shown$}"))
        };
        assert_eq!(above(9.1, 5.0, 1), ("9.1".into(), "5.0".into()));
        assert_eq!(above(5.01, 5.0, 1), ("5.01".into(), "5.00".into()));
        assert_eq!(above(5.000_001, 5.0, 1), ("5.000001".into(), "5.000000".into()));
        assert_eq!(above(5.04, 4.96, 1), ("5.04".into(), "4.96".into()));
        assert_eq!(above(0.1 + 0.2, 0.3, 0).0.len(), 17);
    }
}
