//! Formatting of metrics for people.

use schema::rounded;

/// Largest number of additional decimals.
const MAX_EXTRA_DECIMALS: usize = 12;

/// Display name of a metric.
pub fn metric_label(key: &str) -> &'static str {
    match key {
        "mae" => "MAE",
        "rmse" => "RMSE",
        "r2" => "R²",
        "mape" => "MAPE",
        _ => "median error",
    }
}

/// Formats the value of a metric.
pub fn format_metric(key: &str, value: f64) -> String {
    format_metric_with(key, value, 0)
}

/// Formats the value of a metric with `extra` additional decimals.
pub fn format_metric_with(key: &str, value: f64, extra: usize) -> String {
    let decimals = default_decimals(key, value) + extra;
    match key {
        // decimals of the share, not of the percentage
        "mape" => format!("{:.*} %", decimals - 2, value * 100.0),
        _ => format!("{value:.decimals$}"),
    }
}

/// Number of additional decimals for which two formatted values compare as `holds` requires.
pub fn extra_decimals(key: &str, values: [f64; 2], holds: impl Fn(f64, f64) -> bool) -> usize {
    let is_sufficient = |extra: &usize| {
        let [first, second] = values.map(|value| rounded(value, default_decimals(key, value) + extra));
        holds(first, second)
    };
    (0..MAX_EXTRA_DECIMALS).find(is_sufficient).unwrap_or(MAX_EXTRA_DECIMALS)
}

fn default_decimals(key: &str, value: f64) -> usize {
    if matches!(key, "r2" | "mape") || value.abs() < 100.0 { 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_values_compare_as_the_values_do() {
        let shown = |key: &str, first: f64, second: f64, margin: f64| {
            let extra = extra_decimals(key, [first, second], |first, second| first > second * (1.0 + margin));
            format!("{} {}", format_metric_with(key, first, extra), format_metric_with(key, second, extra))
        };
        assert_eq!(shown("mae", 12_345.4, 12_345.2, 0.0), "12345.4 12345.2");
        assert_eq!(shown("mae", 110.2, 108.0, 0.02), "110.2 108.0");
        assert_eq!(shown("mae", 120.0, 108.0, 0.02), "120 108");
        assert_eq!(shown("mape", 0.100_001, 0.1, 0.0), "10.0001 % 10.0000 %");
        assert_eq!(shown("r2", 0.850_04, 0.85, 0.0), "0.85004 0.85000");
    }
}
