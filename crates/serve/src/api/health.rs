//! `GET /health` and the probes.

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

use crate::{http::error::json_response, state::AppState};

/// `GET /health`: what the article's clients look at, and true.
pub(crate) async fn health(State(app): State<&'static AppState>) -> Response {
    let loaded = app.models.load().champion.predict_typical_row().is_ok();
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
pub(crate) async fn ready(State(app): State<&'static AppState>) -> Response {
    let engine = app.models.load().champion.clone();
    let unready = |reason: String| {
        let told = json!({"status": "unready", "ready": false, "reason": reason});
        json_response(StatusCode::SERVICE_UNAVAILABLE, told.to_string())
    };
    if app.is_draining() {
        return unready("the server is going down".into());
    }
    match engine.predict_typical_row() {
        Ok(prediction) => {
            let told = json!({"status": "ready", "ready": true, "test_prediction": prediction.value, "model_version": engine.info.version});
            json_response(StatusCode::OK, told.to_string())
        }
        Err(error) => unready(format!("{error:#}")),
    }
}
