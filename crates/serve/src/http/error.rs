//! The error response of the API.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use inference::validation::{FieldError, MAX_ERRORS_LISTED};

/// An error of a request.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    message: String,
    field_errors: Vec<FieldError>,
    /// The total number of errors, of which some are listed.
    error_count: usize,
    /// Seconds after which the request may be repeated.
    retry_after: Option<u32>,
}

impl ApiError {
    /// The error of a thread that panicked.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error: the prediction failed; see the log")
    }

    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field_errors: Vec::new(), error_count: 0, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than the limit of {limit} bytes; send fewer rows at a time");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The error of invalid rows.
    pub(crate) fn invalid_rows(field_errors: Vec<FieldError>) -> Self {
        let error_count = field_errors.len();
        Self::invalid_rows_excerpt(field_errors, error_count)
    }

    /// The error of invalid rows with `error_count` errors, of which `field_errors` are the first.
    pub(crate) fn invalid_rows_excerpt(field_errors: Vec<FieldError>, error_count: usize) -> Self {
        let message = match field_errors.as_slice() {
            [error] => error.text(),
            _ => format!("{error_count} values are invalid"),
        };
        Self { field_errors, error_count, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message) }
    }

    /// The error of an overloaded server.
    pub(crate) fn busy(status: StatusCode, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let listed: Vec<_> = self.field_errors.iter().take(MAX_ERRORS_LISTED).map(FieldError::to_json).collect();
        let mut body = json!({"error": self.message, "detail": &listed});
        if self.error_count > listed.len() {
            body["faults"] = json!(self.error_count);
        }
        let mut response = json_response(self.status, body.to_string());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A response in JSON.
pub(crate) fn json_response(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
