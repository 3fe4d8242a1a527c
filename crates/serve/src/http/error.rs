//! An answer that says what is wrong.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use inference::validation::{FieldError, MAX_ERRORS_LISTED};

/// Why a request is not answered as it was meant.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    message: String,
    faults: Vec<FieldError>,
    /// How many there are, of which some are listed.
    found: usize,
    /// Seconds after which it may be tried again.
    retry_after: Option<u32>,
}

impl ApiError {
    /// The error where a thread panicked.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the prediction failed; the log says more")
    }

    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), faults: Vec::new(), found: 0, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than the {limit} bytes that are taken; send fewer rows at a time");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// Rows that break the schema.
    pub(crate) fn faults(faults: Vec<FieldError>) -> Self {
        let found = faults.len();
        Self::some_faults(faults, found)
    }

    /// Rows that break the schema in so many places, of which these are some.
    pub(crate) fn some_faults(faults: Vec<FieldError>, found: usize) -> Self {
        let message = match faults.as_slice() {
            [fault] => fault.text(),
            _ => format!("{found} values break the schema"),
        };
        Self { faults, found, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message) }
    }

    /// The server has enough to do.
    pub(crate) fn busy(status: StatusCode, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let shown: Vec<_> = self.faults.iter().take(MAX_ERRORS_LISTED).map(FieldError::to_json).collect();
        let mut told = json!({"error": self.message, "detail": &shown});
        if self.found > shown.len() {
            told["faults"] = json!(self.found);
        }
        let mut response = json_response(self.status, told.to_string());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An answer in JSON.
pub(crate) fn json_response(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
