//! The keys of answers as JSON text, which are the same for every row.

use serde_json::Value;

/// The keys of an answer, as JSON text: they are the same for every row.
#[derive(Debug)]
pub(crate) struct ResponseKeys {
    /// `{"predicted_price":`
    pub(crate) prediction: String,
    /// `"sqft":` for each column that contributes to a prediction.
    pub(crate) contributions: Vec<String>,
    /// The version as a JSON string.
    pub(crate) version: String,
}

impl ResponseKeys {
    /// The keys for a model that predicts `target` and is explained by the columns `explained`.
    pub(crate) fn new(target: &str, explained: &[String], version: &str) -> Self {
        let quoted = |text: &str| Value::from(text).to_string();
        Self {
            prediction: format!("{{{}:", quoted(&format!("predicted_{target}"))),
            contributions: explained.iter().map(|name| format!("{}:", quoted(name))).collect(),
            version: quoted(version),
        }
    }
}
