//! `GET /model`: the description of the models.

use axum::{extract::State, http::StatusCode, response::Response};
use drift::MIN_ROWS;
use schema::ColumnType;
use serde_json::{Value, json};

use crate::{api::openapi::column_schema, http::error::json_response, models::load::DeployedModel, state::AppState};

/// `GET /model`.
pub(crate) async fn model(State(app): State<&'static AppState>) -> Response {
    let models = app.models.load_full();
    let mut description = describe(&models.champion);
    if let Some(challenger) = &models.challenger {
        description["challenger"] = describe(challenger);
        description["challenger"]["share"] = json!(app.traffic_split.share);
    }
    json_response(StatusCode::OK, description.to_string())
}

pub(crate) fn describe(model: &DeployedModel) -> Value {
    let file = model.predictor.model().file();
    let columns: Vec<Value> = model
        .row_schema
        .fields
        .iter()
        .map(|field| {
            let mut description = column_schema(&field.column);
            let kind = field.column.spec.kind;
            description["kind"] = json!(if kind.is_number() { "number" } else { kind.name() });
            description["integer"] = json!(kind == ColumnType::Integer);
            description["name"] = json!(field.name());
            description["required"] = json!(field.column.spec.required);
            description["typical"] = field.typical.clone();
            if let Some((low, high)) = field.seen_range() {
                description["training_range"] = json!([low, high]);
            }
            description
        })
        .collect();
    let drift = model.drift().map(|drift| {
        let columns: serde_json::Map<String, Value> =
            drift.columns.into_iter().map(|(name, psi)| (name, json!(psi))).collect();
        json!({"rows": drift.rows, "rows_needed": MIN_ROWS, "columns": columns, "prediction": drift.prediction})
    });
    json!({
        "name": file.name,
        "version": model.info.version,
        "algorithm": file.algorithm,
        "target": file.target,
        "source": model.info.source,
        "loaded_at": cli::rfc3339(model.loaded_at_ms),
        "train_rows": file.train_rows,
        "interval_coverage": file.interval.as_ref().map(|_| model.info.coverage),
        "features": file.features,
        "columns": columns,
        "explained": model.explainer.is_ok(),
        "metrics": model.info.metrics,
        "lineage": model.info.lineage,
        "schema": file.schema,
        "preprocessor": file.preprocessor,
        "drift": drift,
        "card": model.info.card,
    })
}
