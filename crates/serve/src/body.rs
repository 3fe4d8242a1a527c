//! Reads bodies, within limits.

use std::time::Duration;

use axum::{
    BoxError,
    body::{Bytes, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::refusal::Refusal;

/// How long a body is read that nobody looks at.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Reads a body whole.
///
/// # Errors
/// If it is too large, comes too slowly, or is cut off.
pub(crate) async fn read<B>(body: B, headers: &HeaderMap, limit: usize, time: Duration) -> Result<Bytes, Refusal>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // what says that it is too large is not read
    if declared(headers).is_some_and(|length| length > limit as u64) {
        return Err(Refusal::too_large(limit));
    }
    match timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Refusal::too_large(limit)),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body could not be read: {error}"))),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} seconds", time.as_secs_f64()),
        )),
    }
}

/// Whether a request has a body.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    declared(headers).is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads a body that nobody looks at: who is still sending does not hear a refusal. False if it was not read to its end.
pub(crate) async fn drain<B>(body: B, headers: &HeaderMap, limit: usize) -> bool
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    if declared(headers).is_none_or(|length| length > limit as u64) {
        return false;
    }
    let mut body = body;
    let rest = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(DRAIN_TIME, rest).await.unwrap_or(false)
}

/// The length that a request says its body has.
pub(crate) fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The media type that a request says its body is of, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// That a body is JSON, as far as its head says.
///
/// # Errors
/// If it says that it is something else.
pub(crate) fn check_json(headers: &HeaderMap, others: &str) -> Result<(), Refusal> {
    match media_type(headers) {
        None => Ok(()),
        // what `curl -d` says when nothing is said to it
        Some(named)
            if named == "application/json" || named == "application/x-www-form-urlencoded" || named.ends_with("+json") =>
        {
            Ok(())
        }
        Some(named) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-type: \"{named}\" is not taken here; send application/json{others}"),
        )),
    }
}
