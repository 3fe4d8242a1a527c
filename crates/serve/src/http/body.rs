//! Reads request bodies within limits.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tokio::time::sleep;

use crate::{
    admission::{
        address::Address,
        unfinished_bodies::{BodyKind, UnfinishedBody, eviction_error},
    },
    http::{
        body_buffer::BodyBuffer,
        error::ApiError,
        gzip::{DECODER_BYTES, GzipBody, READ_AHEAD_BYTES},
        head::ContentCoding,
    },
    state::AppState,
};

/// Time for which an unused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The body of a request, decoded.
pub(crate) enum RequestBody {
    Plain(Incoming),
    Gzip(Box<GzipBody<Incoming>>),
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, coding: ContentCoding) -> Self {
        match coding {
            ContentCoding::Plain => Self::Plain(body),
            ContentCoding::Gzip => Self::Gzip(Box::new(GzipBody::new(body))),
        }
    }

    /// Bytes of memory besides those received.
    fn memory(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Gzip(_) => DECODER_BYTES,
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Plain(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Gzip(body) => Pin::new(body).poll_frame(context),
        }
    }
}

/// The limits of a body, known before it is read.
pub(crate) struct BodyLimits {
    pub(crate) kind: BodyKind,
    pub(crate) address: Address,
    /// Maximum bytes.
    pub(crate) limit: usize,
    /// Its length according to the head.
    pub(crate) declared: Option<u64>,
}

/// Reads a complete body. The bytes of a batch count until their last copy is dropped, even if the request has ended. A row that arrives
/// together with its head does not count as incomplete.
///
/// # Errors
/// If it is too large or too slow, is cut off, or was closed in favour of others.
pub(crate) async fn receive(app: &'static AppState, body: &mut RequestBody, limits: &BodyLimits) -> Result<Bytes, ApiError> {
    let BodyLimits { kind, address, limit, declared } = *limits;
    // a body that declares an excessive length is not read
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(ApiError::too_large(limit));
    }
    let time = app.limits.time;
    let mut received = BodyBuffer::new(limit, declared);
    let mut unfinished = None;
    if kind == BodyKind::Batch {
        let begun = app.unfinished_bodies.begin(kind, address);
        begun.add(body.memory())?;
        unfinished = Some(begun);
    }
    let mut end = None;
    loop {
        let frame = match poll_fn(|context| Poll::Ready(Pin::new(&mut *body).poll_frame(context))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if unfinished.is_none() {
                    let begun = app.unfinished_bodies.begin(kind, address);
                    begun.add(body.memory() + received.len())?;
                    unfinished = Some(begun);
                }
                let end = end.get_or_insert_with(|| Box::pin(sleep(time)));
                tokio::select! {
                    biased;
                    () = notice(unfinished.as_ref()) => return Err(eviction_error()),
                    frame = body.frame() => frame,
                    () = end => {
                        let message = format!("the body did not arrive within {} seconds", time.as_secs_f64());
                        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message));
                    }
                }
            }
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("cannot read the body: {error}")))?;
        let Ok(part) = frame.into_data() else { continue };
        if part.len() > limit - received.len() {
            return Err(ApiError::too_large(limit));
        }
        if let Some(unfinished) = &unfinished {
            unfinished.add(part.len())?;
        }
        received
            .add(part)
            .map_err(|_| ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "not enough memory for the body", 1))?;
    }
    if let Some(unfinished) = &unfinished {
        unfinished.complete()?;
    }
    let bytes = received.finish();
    Ok(match unfinished {
        Some(unfinished) if kind == BodyKind::Batch => Bytes::from_owner(BodyBytes { bytes, _arrival: unfinished }),
        _ => bytes,
    })
}

/// The bytes of a body, which count as long as they are held.
struct BodyBytes {
    bytes: Bytes,
    _arrival: UnfinishedBody,
}

impl AsRef<[u8]> for BodyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn notice(unfinished: Option<&UnfinishedBody>) {
    match unfinished {
        Some(unfinished) => unfinished.notice().wait().await,
        None => std::future::pending().await,
    }
}

/// The bytes of a body that is already in memory.
///
/// # Errors
/// If it is incomplete.
pub(crate) async fn collect(body: Body) -> Result<Bytes, ApiError> {
    let body = body.collect().await.map_err(|error| ApiError::bad_request(format!("cannot read the body: {error}")))?;
    Ok(body.to_bytes())
}

/// A body that is processed while it arrives. It ends in an error if it is closed in favour of others.
pub(crate) struct StreamBody {
    body: RequestBody,
    unfinished: Arc<UnfinishedBody>,
}

impl StreamBody {
    pub(crate) fn new(mut body: RequestBody, unfinished: Arc<UnfinishedBody>) -> Self {
        if let RequestBody::Gzip(body) = &mut body {
            body.read_ahead();
        }
        Self { body, unfinished }
    }

    /// Bytes of memory that decoding takes.
    pub(crate) fn decoder_memory(&self) -> usize {
        if matches!(self.body, RequestBody::Gzip(_)) { DECODER_BYTES + READ_AHEAD_BYTES } else { 0 }
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let eviction_error = || Poll::Ready(Some(Err("the body was closed in favour of other requests".into())));
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.unfinished.wait(frame.is_pending());
        match &frame {
            Poll::Pending if self.unfinished.notice().poll(context).is_ready() => return eviction_error(),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if self.unfinished.add(bytes).is_err() {
                    return eviction_error();
                }
            }
            Poll::Ready(None) if self.unfinished.complete().is_err() => return eviction_error(),
            _ => {}
        }
        frame
    }
}

/// Reads and discards the body of a rejected client, which does not read the response while it sends. False if the body was not read to
/// its end.
pub(crate) async fn drain_rejected(
    app: &'static AppState,
    body: RequestBody,
    declared: Option<u64>,
    address: Address,
) -> bool {
    let limit = app.limits.body;
    if !is_drained(declared, limit) {
        return false;
    }
    let unfinished = app.unfinished_bodies.begin(BodyKind::Rejected, address);
    tokio::select! {
        biased;
        read = drain(body, declared, limit) => read,
        () = unfinished.notice().wait() => false,
    }
}

/// Whether a rejected body is read to its end: its length is declared and within the limit.
fn is_drained(declared: Option<u64>, limit: usize) -> bool {
    declared.is_some_and(|length| length <= limit as u64)
}

/// Whether a request has a body.
pub(crate) fn has_body(headers: &HeaderMap) -> bool {
    declared_length(headers).is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads and discards a body, because a client that still sends does not read the response. False if it was not read to its end.
pub(crate) async fn drain<B>(mut body: B, declared: Option<u64>, limit: usize) -> bool
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    if !is_drained(declared, limit) {
        return false;
    }
    let rest = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAIN_TIMEOUT, rest).await.unwrap_or(false)
}

/// The length of the body that a request declares.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The media type that a request declares, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Checks that a body is declared to be JSON.
///
/// # Errors
/// If another media type is declared.
pub(crate) fn check_json(headers: &HeaderMap, others: &str) -> Result<(), ApiError> {
    match media_type(headers) {
        None => Ok(()),
        // the default of `curl -d`
        Some(named)
            if named == "application/json" || named == "application/x-www-form-urlencoded" || named.ends_with("+json") =>
        {
            Ok(())
        }
        Some(named) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-type: \"{named}\" is not supported here; send application/json{others}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::admission::unfinished_bodies::UnfinishedBodies;

    #[tokio::test]
    async fn a_batch_counts_until_the_last_copy_of_it_is_dropped() {
        let unfinished_bodies = Arc::new(UnfinishedBodies::new(9, 1, Counter::default()));
        let begin = || unfinished_bodies.begin(BodyKind::Batch, Address::from_ip([10, 0, 0, 1].into()));
        let unfinished = begin();
        unfinished.add(100 << 20).unwrap();
        unfinished.complete().unwrap();
        let bytes = Bytes::from_owner(BodyBytes { bytes: Bytes::from_static(b"[]"), _arrival: unfinished });
        // as it passes through the router to the thread that processes it
        let held = collect(Body::from(bytes)).await.unwrap();
        assert_eq!(held, "[]");
        assert!(begin().add(60 << 20).is_err());
        drop(held);
        begin().add(60 << 20).unwrap();
    }
}
