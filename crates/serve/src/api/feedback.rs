//! `POST /feedback`: actual values of predictions.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    admission::auth::Caller,
    http::{
        body,
        error::{ApiError, json_response},
        request_id::MAX_REQUEST_ID_BYTES,
    },
    state::AppState,
    telemetry::realised_error::JoinOutcome,
};

/// Maximum bytes of the body.
pub(crate) const MAX_FEEDBACK_BODY_BYTES: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Actual {
    pub(crate) request_id: String,
    pub(crate) actual: f64,
}

/// `POST /feedback`: the actual value of the caller's prediction under a request id.
pub(crate) async fn feedback(
    State(app): State<&'static AppState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    body::check_json(&headers, "")?;
    let body = body::collect(body).await?;
    let actual: Actual = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("{error}; send {{\"request_id\": \"…\", \"actual\": 350000}}");
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        ApiError::new(status, message)
    })?;
    let Actual { request_id, actual } = actual;
    if request_id.len() > MAX_REQUEST_ID_BYTES {
        let message = format!("request_id: has {} bytes; request ids have at most {MAX_REQUEST_ID_BYTES}", request_id.len());
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let validated = app.models.load().champion.row_schema.check_actual("actual", actual);
    validated.map_err(|error| ApiError::invalid_rows(vec![*error]))?;
    let joined = app.realised_errors.join(caller, &request_id, actual, app.prediction_log.is_some());
    let (prediction, duplicate) = match joined {
        JoinOutcome::Prediction { prediction, duplicate } => (Some(prediction), duplicate),
        JoinOutcome::Unknown { duplicate } if app.prediction_log.is_some() => (None, duplicate),
        JoinOutcome::Unknown { .. } => {
            let message = format!("no prediction is known for the request id \"{request_id}\"");
            return Err(ApiError::new(StatusCode::NOT_FOUND, message));
        }
        JoinOutcome::Conflict { recorded } => {
            let message = format!(
                "the request id \"{request_id}\" already has the actual value {recorded}; {actual} was not recorded"
            );
            return Err(ApiError::new(StatusCode::CONFLICT, message));
        }
    };
    if let Some(prediction_log) = app.prediction_log.as_ref().filter(|_| !duplicate) {
        let time = cli::rfc3339(cli::now_ms());
        let record = json!({"time": time, "caller": caller.0, "request_id": request_id, "actual": actual});
        prediction_log.add(record.to_string().into_bytes());
    }
    let response = json!({
        "request_id": request_id,
        "joined": prediction.is_some(),
        "duplicate": duplicate,
        "prediction": prediction.map(|prediction| prediction.value),
        "error": prediction.map(|prediction| prediction.value - actual),
    });
    // a value that is joined later, from the prediction log, is only recorded
    let status = if prediction.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json_response(status, response.to_string()))
}
