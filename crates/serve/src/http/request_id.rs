//! The id of a request: the one that came, or a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are replaced.
pub(crate) const LONGEST_ID: usize = 128;

/// The id that came, if it is sound, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sound = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let visible = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        !bytes.is_empty() && bytes.len() <= LONGEST_ID && bytes.iter().all(visible)
    };
    let new = || {
        let text = format!("{:032x}", fastrand::u128(..));
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("none"))
    };
    headers.get(REQUEST_ID).filter(sound).cloned().unwrap_or_else(new)
}

/// The id that the edge gave a request.
pub(crate) fn id_of(headers: &HeaderMap) -> &str {
    headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
