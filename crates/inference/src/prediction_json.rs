//! The prediction of one row as JSON, with its contributions.

use std::io::Write;

use predictor::Prediction;
use schema::CellValue;
use serde_json::{Value, json};

use crate::loaded_model::{LoadedModel, RowPrediction};

/// What an answer says beside the prediction.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The role of the model among those that are deployed. Letters only.
    pub role: &'a str,
    /// The id of the request. Letters, digits and a few signs that JSON need not escape.
    pub request_id: &'a str,
    /// The time of the prediction, RFC 3339 in UTC.
    pub now: &'a str,
}

/// Renders the body of an answer to a single row.
pub fn render_prediction(model: &LoadedModel, row: &RowPrediction, context: Context) -> Vec<u8> {
    let keys = &model.keys;
    let mut out = Vec::with_capacity(640);
    out.extend_from_slice(keys.prediction.as_bytes());
    push_number(&mut out, row.prediction.value);
    out.extend_from_slice(b",\"confidence_interval\":");
    push_interval(&mut out, row.prediction.interval);
    out.extend_from_slice(b",\"interval_coverage\":");
    push_number(&mut out, model.info.coverage);
    out.extend_from_slice(b",\"features_importance\":{");
    if let Some(contributions) = &row.contributions {
        for (place, (key, part)) in keys.contributions.iter().zip(&contributions.parts).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            push_number(&mut out, *part);
        }
    }
    out.extend_from_slice(b"},\"base_value\":");
    push_number(&mut out, row.contributions.as_ref().map_or(f64::NAN, |contributions| contributions.base));
    let Context { role, request_id, now } = context;
    // writing to memory does not fail
    let _ = write!(
        out,
        ",\"prediction_time\":\"{now}\",\"model_version\":{},\"model_role\":\"{role}\",\"request_id\":\"{request_id}\",\"warnings\":",
        keys.version,
    );
    if row.warnings.is_empty() {
        out.extend_from_slice(b"[]");
    } else {
        out.extend(json!(row.warnings).to_string().into_bytes());
    }
    out.push(b'}');
    out
}

/// Renders the explanation of a row: values and contributions of its columns and of the model's `features`.
pub fn render_explanation(
    model: &LoadedModel,
    cells: &[CellValue],
    row: &RowPrediction,
    features: &[f64],
    context: Context,
) -> Vec<u8> {
    let file = model.predictor.model().file();
    let value = |name: &str| model.row_schema.index_of(name).map_or(Value::Null, |place| cell_json(&cells[place]));
    let columns: Vec<Value> = row.contributions.as_ref().map_or(Vec::new(), |contributions| {
        let names = model.predictor.explained_columns().iter().zip(&contributions.parts);
        names.map(|(name, part)| json!({"column": name, "value": value(name), "contribution": part})).collect()
    });
    let parts = model.explainer.as_ref().ok().map(|explainer| explainer.explain(model.predictor.model(), features).1);
    let named = file.features.iter().zip(features).enumerate();
    let features: Vec<Value> = named
        .map(|(place, (name, value))| {
            json!({"feature": name, "value": value, "contribution": parts.as_ref().map(|parts| parts.parts[place])})
        })
        .collect();
    let mut explanation = json!({
        "prediction": row.prediction.value,
        "confidence_interval": row.prediction.interval,
        "base_value": row.contributions.as_ref().map(|contributions| contributions.base),
        "columns": columns,
        "features": features,
        "model_version": model.info.version,
        "model_role": context.role,
        "request_id": context.request_id,
        "warnings": row.warnings,
    });
    if let Err(reason) = &model.explainer {
        explanation["unexplained"] = json!(reason);
    }
    explanation.to_string().into_bytes()
}

/// Appends a prediction of a list with its interval and warnings, as JSON.
pub fn push_details(out: &mut Vec<u8>, model: &LoadedModel, prediction: &Prediction, cells: &[CellValue]) {
    out.extend_from_slice(model.keys.prediction.as_bytes());
    push_number(out, prediction.value);
    out.extend_from_slice(b",\"confidence_interval\":");
    push_interval(out, prediction.interval);
    out.extend_from_slice(b",\"warnings\":");
    out.extend(json!(model.row_schema.warnings(cells)).to_string().into_bytes());
    out.push(b'}');
}

/// The value of a cell as JSON.
pub fn cell_json(cell: &CellValue) -> Value {
    match cell {
        CellValue::Missing => Value::Null,
        CellValue::Number(value) => json!(value),
        CellValue::Level(level) => json!(level),
    }
}

/// Appends a number as JSON: the shortest text that is read as the same number, `null` where it is not finite.
pub fn push_number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // writing to memory does not fail
        let _ = serde_json::to_writer(out, &value);
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends an interval as a JSON list of its two ends, `null` where there is none.
pub fn push_interval(out: &mut Vec<u8>, interval: Option<(f64, f64)>) {
    match interval {
        Some((low, high)) => {
            out.push(b'[');
            push_number(out, low);
            out.push(b',');
            push_number(out, high);
            out.push(b']');
        }
        None => out.extend_from_slice(b"null"),
    }
}
