//! Metrics as people read them.

use schema::rounded;

/// Decimals that are added at most.
const MAX_MORE: usize = 12;

/// What a metric is called.
pub fn label(key: &str) -> &'static str {
    match key {
        "mae" => "MAE",
        "rmse" => "RMSE",
        "r2" => "R²",
        "mape" => "MAPE",
        _ => "median error",
    }
}

/// A metric's value.
pub fn figure(key: &str, value: f64) -> String {
    figure_with(key, value, 0)
}

/// A metric's value with `more` decimals than usual.
pub fn figure_with(key: &str, value: f64, more: usize) -> String {
    let decimals = usual_decimals(key, value) + more;
    match key {
        // of a share, not of a percentage
        "mape" => format!("{:.*} %", decimals - 2, value * 100.0),
        _ => format!("{value:.decimals$}"),
    }
}

/// How many decimals more than usual two values of a metric need, so that what is shown of them compares as `holds` says.
pub fn more_decimals(key: &str, values: [f64; 2], holds: impl Fn(f64, f64) -> bool) -> usize {
    let is_shown = |more: &usize| {
        let [first, second] = values.map(|value| rounded(value, usual_decimals(key, value) + more));
        holds(first, second)
    };
    (0..MAX_MORE).find(is_shown).unwrap_or(MAX_MORE)
}

fn usual_decimals(key: &str, value: f64) -> usize {
    if matches!(key, "r2" | "mape") || value.abs() < 100.0 { 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_compares_as_what_was_measured() {
        let shown = |key: &str, first: f64, second: f64, margin: f64| {
            let more = more_decimals(key, [first, second], |first, second| first > second * (1.0 + margin));
            format!("{} {}", figure_with(key, first, more), figure_with(key, second, more))
        };
        assert_eq!(shown("mae", 12_345.4, 12_345.2, 0.0), "12345.4 12345.2");
        assert_eq!(shown("mae", 110.2, 108.0, 0.02), "110.2 108.0");
        assert_eq!(shown("mae", 120.0, 108.0, 0.02), "120 108");
        assert_eq!(shown("mape", 0.100_001, 0.1, 0.0), "10.0001 % 10.0000 %");
        assert_eq!(shown("r2", 0.850_04, 0.85, 0.0), "0.85004 0.85000");
    }
}
