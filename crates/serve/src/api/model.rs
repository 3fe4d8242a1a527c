//! `GET /model`: the description of the models.

use axum::{extract::State, http::StatusCode, response::Response};
use drift::MIN_ROWS;
use schema::ColumnType;
use serde_json::{Value, json};

use crate::{api::openapi::column_schema, http::error::json_response, models::load::DeployedModel, state::AppState};

/// `GET /model`.
pub(crate) async fn model(State(app): State<&'static AppState>) -> Response {
    let models = app.models.load_full();
    let mut told = describe(&models.champion);
    if let Some(challenger) = &models.challenger {
        told["challenger"] = describe(challenger);
        told["challenger"]["share"] = json!(app.traffic_split.share);
    }
    json_response(StatusCode::OK, told.to_string())
}

pub(crate) fn describe(engine: &DeployedModel) -> Value {
    let file = engine.predictor.model().file();
    let columns: Vec<Value> = engine
        .row_schema
        .fields
        .iter()
        .map(|field| {
            let mut told = column_schema(&field.column);
            let kind = field.column.spec.kind;
            told["kind"] = json!(if kind.is_number() { "number" } else { kind.name() });
            told["integer"] = json!(kind == ColumnType::Integer);
            told["name"] = json!(field.name());
            told["required"] = json!(field.column.spec.required);
            told["typical"] = field.typical.clone();
            if let Some((low, high)) = field.seen_range() {
                told["training_range"] = json!([low, high]);
            }
            told
        })
        .collect();
    let drift = engine.drift().map(|drift| {
        let columns: serde_json::Map<String, Value> =
            drift.columns.into_iter().map(|(name, psi)| (name, json!(psi))).collect();
        json!({"rows": drift.rows, "rows_needed": MIN_ROWS, "columns": columns, "prediction": drift.prediction})
    });
    json!({
        "name": file.name,
        "version": engine.info.version,
        "algorithm": file.algorithm,
        "target": file.target,
        "source": engine.info.source,
        "loaded_at": cli::rfc3339(engine.loaded_at_ms),
        "train_rows": file.train_rows,
        "interval_coverage": file.interval.as_ref().map(|_| engine.info.coverage),
        "features": file.features,
        "columns": columns,
        "explained": engine.explainer.is_ok(),
        "metrics": engine.info.metrics,
        "lineage": engine.info.lineage,
        "schema": file.schema,
        "preprocessor": file.preprocessor,
        "drift": drift,
        "card": engine.info.card,
    })
}
