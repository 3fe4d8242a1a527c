//! What the server says of itself and its model, and what it is told of true values.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use drift::MIN_ROWS;
use schema::ColumnType;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    admission::auth::Caller,
    api::openapi::column_schema,
    engine::Engine,
    http::{
        body,
        error::{Refusal, json_response},
    },
    server::middleware::LONGEST_ID,
    state::Shared,
    telemetry::{metrics::plain, realised_error::JoinOutcome},
};

/// What Prometheus is sent, as it asks for it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What everybody else is sent.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Bytes of a true value's message at most.
pub(crate) const FEEDBACK_BODY: usize = 16 << 10;

/// `GET /health`: what the article's clients look at, and true.
pub(crate) async fn health(State(app): State<Shared>) -> Response {
    let loaded = app.models.load().champion.canary().is_ok();
    let well = loaded && !app.is_draining();
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if well { "healthy" } else { "unhealthy" };
    json_response(status, format!("{{\"status\":\"{word}\",\"model_loaded\":{loaded}}}"))
}

/// `GET /health/live`: the process answers.
pub(crate) async fn live() -> Response {
    json_response(StatusCode::OK, r#"{"status":"live","live":true}"#)
}

/// `GET /health/ready`: a test prediction was made just now.
pub(crate) async fn ready(State(app): State<Shared>) -> Response {
    let engine = app.models.load().champion.clone();
    let unready = |reason: String| {
        let told = json!({"status": "unready", "ready": false, "reason": reason});
        json_response(StatusCode::SERVICE_UNAVAILABLE, told.to_string())
    };
    if app.is_draining() {
        return unready("the server is going down".into());
    }
    match engine.canary() {
        Ok(prediction) => {
            let told = json!({"status": "ready", "ready": true, "test_prediction": prediction.value, "model_version": engine.about.version});
            json_response(StatusCode::OK, told.to_string())
        }
        Err(error) => unready(format!("{error:#}")),
    }
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Shared>, headers: HeaderMap) -> Response {
    app.metrics.in_flight.set(app.in_flight.load(std::sync::atomic::Ordering::Relaxed));
    app.metrics.unfinished.set(app.arrivals.unfinished() as i64);
    let text = app.metrics.render(&app.models.load_full(), &app.feedback.errors());
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let open = accept.contains("application/openmetrics-text");
    let (text, media_type) = if open { (text, OPEN_METRICS) } else { (plain(&text), PLAIN_METRICS) };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// `GET /model`.
pub(crate) async fn model(State(app): State<Shared>) -> Response {
    let models = app.models.load_full();
    let mut told = describe(&models.champion);
    if let Some(challenger) = &models.challenger {
        told["challenger"] = describe(challenger);
        told["challenger"]["share"] = json!(app.division.share);
    }
    json_response(StatusCode::OK, told.to_string())
}

fn describe(engine: &Engine) -> Value {
    let file = engine.predictor.model().file();
    let columns: Vec<Value> = engine
        .fields
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
        "version": engine.about.version,
        "algorithm": file.algorithm,
        "target": file.target,
        "source": engine.about.source,
        "loaded_at": cli::rfc3339(engine.loaded_at_ms),
        "train_rows": file.train_rows,
        "interval_coverage": file.interval.as_ref().map(|_| engine.about.coverage),
        "features": file.features,
        "columns": columns,
        "explained": engine.explainer.is_ok(),
        "metrics": engine.about.metrics,
        "lineage": engine.about.lineage,
        "schema": file.schema,
        "preprocessor": file.preprocessor,
        "drift": drift,
        "card": engine.about.card,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrueValue {
    request_id: String,
    actual: f64,
}

/// `POST /feedback`: the true value of what was predicted under a request's id for the same caller.
pub(crate) async fn feedback(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    body::check_json(&headers, "")?;
    let body = body::whole(body).await?;
    let told: TrueValue = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("{error}; send {{\"request_id\": \"…\", \"actual\": 350000}}");
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Refusal::new(status, message)
    })?;
    let TrueValue { request_id, actual } = told;
    if request_id.len() > LONGEST_ID {
        let message = format!("request_id: has {} bytes; the ids of requests have {LONGEST_ID} at most", request_id.len());
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let checked = app.models.load().champion.fields.check_true_value("actual", actual);
    checked.map_err(|fault| Refusal::faults(vec![*fault]))?;
    let joined = app.feedback.join(caller, &request_id, actual, app.journal.is_some());
    let (prediction, duplicate) = match joined {
        JoinOutcome::Prediction { prediction, duplicate } => (Some(prediction), duplicate),
        JoinOutcome::Unknown { duplicate } if app.journal.is_some() => (None, duplicate),
        JoinOutcome::Unknown { .. } => {
            let message = format!("no prediction is known under the request id \"{request_id}\"");
            return Err(Refusal::new(StatusCode::NOT_FOUND, message));
        }
        JoinOutcome::Conflict { recorded } => {
            let message =
                format!("the request id \"{request_id}\" has the true value {recorded} already; {actual} is not recorded");
            return Err(Refusal::new(StatusCode::CONFLICT, message));
        }
    };
    if let Some(journal) = app.journal.as_ref().filter(|_| !duplicate) {
        let time = cli::rfc3339(cli::now_ms());
        let record = json!({"time": time, "caller": caller.0, "request_id": request_id, "actual": actual});
        journal.add(record.to_string().into_bytes());
    }
    let answer = json!({
        "request_id": request_id,
        "joined": prediction.is_some(),
        "duplicate": duplicate,
        "prediction": prediction.map(|prediction| prediction.value),
        "error": prediction.map(|prediction| prediction.value - actual),
    });
    // what is joined later, from the journal, is only recorded
    let status = if prediction.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json_response(status, answer.to_string()))
}
