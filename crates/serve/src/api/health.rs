//! `GET /health` and the health probes.

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

use crate::{http::error::json_response, state::AppState};

/// `GET /health`: whether the model predicts and the server is not shutting down.
pub(crate) async fn health(State(app): State<&'static AppState>) -> Response {
    let is_loaded = app.models.load().champion.predict_typical_row().is_ok();
    let is_healthy = is_loaded && !app.is_draining();
    let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status_text = if is_healthy { "healthy" } else { "unhealthy" };
    json_response(status, format!("{{\"status\":\"{status_text}\",\"model_loaded\":{is_loaded}}}"))
}

/// `GET /health/live`: the process responds.
pub(crate) async fn live() -> Response {
    json_response(StatusCode::OK, r#"{"status":"live","live":true}"#)
}

/// `GET /health/ready`: a test prediction succeeds now.
pub(crate) async fn ready(State(app): State<&'static AppState>) -> Response {
    let model = app.models.load().champion.clone();
    let unready = |reason: String| {
        let body = json!({"status": "unready", "ready": false, "reason": reason});
        json_response(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
    };
    if app.is_draining() {
        return unready("the server is shutting down".into());
    }
    match model.predict_typical_row() {
        Ok(prediction) => {
            let body = json!({"status": "ready", "ready": true, "test_prediction": prediction.value, "model_version": model.info.version});
            json_response(StatusCode::OK, body.to_string())
        }
        Err(error) => unready(format!("{error:#}")),
    }
}
