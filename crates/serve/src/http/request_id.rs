//! The id of a request: that of the client, or a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the request id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum bytes of an id; a longer one is replaced.
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 128;

/// The client's id, if it is valid, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_valid = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let visible = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID_BYTES && bytes.iter().all(visible)
    };
    let new = || {
        let text = format!("{:032x}", fastrand::u128(..));
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("none"))
    };
    headers.get(REQUEST_ID).filter(is_valid).cloned().unwrap_or_else(new)
}

/// The id that the middleware set.
pub(crate) fn current_request_id(headers: &HeaderMap) -> &str {
    headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
