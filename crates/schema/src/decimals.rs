//! How many decimals a message needs, so that the numbers in it show what it says of them.

/// Decimals at most: an [`f64`] has 15 digits that can be relied on.
const MAX_DECIMALS: usize = 15;

/// The fewest decimals, `from` or more, with which rounded numbers still compare as `holds` says. It gets a function that rounds to so many
/// decimals.
pub fn decimals(from: usize, holds: impl Fn(&dyn Fn(f64) -> f64) -> bool) -> usize {
    let shows = |decimals: &usize| holds(&|value| rounded(value, *decimals));
    (from..MAX_DECIMALS).find(shows).unwrap_or(MAX_DECIMALS)
}

/// A number as it is read from its text with so many decimals.
pub fn rounded(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_differ_are_shown_to_differ() {
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
