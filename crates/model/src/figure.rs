//! Metrics as people read them.

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
    match key {
        "r2" => format!("{value:.4}"),
        "mape" => format!("{:.2} %", value * 100.0),
        _ if value.abs() >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.4}"),
    }
}
