//! Reads bodies, within limits.

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
        unfinished_bodies::{Arrival, Kind, gave_way},
    },
    http::{
        body_buffer::BodyBuffer,
        error::ApiError,
        gzip::{AHEAD, DECODER, GzipBody},
        head::Coding,
    },
    state::AppState,
};

/// How long a body is read that nobody looks at.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The body of a request, decoded.
pub(crate) enum RequestBody {
    Plain(Incoming),
    Gzip(Box<GzipBody<Incoming>>),
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, coding: Coding) -> Self {
        match coding {
            Coding::Plain => Self::Plain(body),
            Coding::Gzip => Self::Gzip(Box::new(GzipBody::new(body))),
        }
    }

    /// Bytes of memory that it takes beside those that came.
    fn memory(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Gzip(_) => DECODER,
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

/// What is known of a body before it is read.
pub(crate) struct BodyLimits {
    pub(crate) kind: Kind,
    pub(crate) address: Address,
    /// Bytes at most.
    pub(crate) limit: usize,
    /// Its length as the head says.
    pub(crate) declared: Option<u64>,
}

/// Reads a body whole. The bytes of a batch count until the last copy of them is dropped, whatever became of its request. A row that comes
/// together with its head takes no place among the bodies that come slowly.
///
/// # Errors
/// If it is too large, comes too slowly, is cut off, or has to give way to others.
pub(crate) async fn receive(app: &'static AppState, body: &mut RequestBody, limits: &BodyLimits) -> Result<Bytes, ApiError> {
    let BodyLimits { kind, address, limit, declared } = *limits;
    // what says that it is too large is not read
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(ApiError::too_large(limit));
    }
    let time = app.limits.time;
    let mut received = BodyBuffer::new(limit, declared);
    let mut arrival = None;
    if kind == Kind::Batch {
        let begun = app.arrivals.begin(kind, address);
        begun.add(body.memory())?;
        arrival = Some(begun);
    }
    let mut end = None;
    loop {
        let frame = match poll_fn(|context| Poll::Ready(Pin::new(&mut *body).poll_frame(context))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if arrival.is_none() {
                    let begun = app.arrivals.begin(kind, address);
                    begun.add(body.memory() + received.len())?;
                    arrival = Some(begun);
                }
                let end = end.get_or_insert_with(|| Box::pin(sleep(time)));
                tokio::select! {
                    biased;
                    () = notice(arrival.as_ref()) => return Err(gave_way()),
                    frame = body.frame() => frame,
                    () = end => {
                        let message = format!("the body did not come within {} seconds", time.as_secs_f64());
                        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message));
                    }
                }
            }
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("the body could not be read: {error}")))?;
        let Ok(part) = frame.into_data() else { continue };
        if part.len() > limit - received.len() {
            return Err(ApiError::too_large(limit));
        }
        if let Some(arrival) = &arrival {
            arrival.add(part.len())?;
        }
        received
            .add(part)
            .map_err(|_| ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "there is no memory for the body", 1))?;
    }
    if let Some(arrival) = &arrival {
        arrival.complete()?;
    }
    let bytes = received.finish();
    Ok(match arrival {
        Some(arrival) if kind == Kind::Batch => Bytes::from_owner(BodyBytes { bytes, _arrival: arrival }),
        _ => bytes,
    })
}

/// The bytes of a body that count while they are held.
struct BodyBytes {
    bytes: Bytes,
    _arrival: Arrival,
}

impl AsRef<[u8]> for BodyBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn notice(arrival: Option<&Arrival>) {
    match arrival {
        Some(arrival) => arrival.notice().wait().await,
        None => std::future::pending().await,
    }
}

/// The body of a request that was received whole before.
///
/// # Errors
/// If it was not.
pub(crate) async fn whole(body: Body) -> Result<Bytes, ApiError> {
    let body =
        body.collect().await.map_err(|error| ApiError::bad_request(format!("the body could not be read: {error}")))?;
    Ok(body.to_bytes())
}

/// A body that is worked on while it comes. It ends in an error where it has to give way.
pub(crate) struct StreamBody {
    body: RequestBody,
    arrival: Arc<Arrival>,
}

impl StreamBody {
    pub(crate) fn new(mut body: RequestBody, arrival: Arc<Arrival>) -> Self {
        if let RequestBody::Gzip(body) = &mut body {
            body.read_ahead();
        }
        Self { body, arrival }
    }

    /// Bytes of memory that decoding takes.
    pub(crate) fn decoder_memory(&self) -> usize {
        if matches!(self.body, RequestBody::Gzip(_)) { DECODER + AHEAD } else { 0 }
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let gave_way = || Poll::Ready(Some(Err("the body had to give way to others".into())));
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.arrival.wait(frame.is_pending());
        match &frame {
            Poll::Pending if self.arrival.notice().poll(context).is_ready() => return gave_way(),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if self.arrival.add(bytes).is_err() {
                    return gave_way();
                }
            }
            Poll::Ready(None) if self.arrival.complete().is_err() => return gave_way(),
            _ => {}
        }
        frame
    }
}

/// Reads a body that nobody looks at, from a client that is refused: who is still sending does not hear it. False if it was not read to its
/// end.
pub(crate) async fn drain_refused(
    app: &'static AppState,
    body: RequestBody,
    declared: Option<u64>,
    address: Address,
) -> bool {
    let limit = app.limits.body;
    if !is_drained(declared, limit) {
        return false;
    }
    let arrival = app.arrivals.begin(Kind::Refused, address);
    tokio::select! {
        biased;
        read = drain(body, declared, limit) => read,
        () = arrival.notice().wait() => false,
    }
}

/// Whether a refused body is read to its end: it says how long it is, and that is not too long.
fn is_drained(declared: Option<u64>, limit: usize) -> bool {
    declared.is_some_and(|length| length <= limit as u64)
}

/// Whether a request has a body.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    declared(headers).is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads a body that nobody looks at: who is still sending does not hear a refusal. False if it was not read to its end.
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
    tokio::time::timeout(DRAIN_TIME, rest).await.unwrap_or(false)
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
pub(crate) fn check_json(headers: &HeaderMap, others: &str) -> Result<(), ApiError> {
    match media_type(headers) {
        None => Ok(()),
        // what `curl -d` says when nothing is said to it
        Some(named)
            if named == "application/json" || named == "application/x-www-form-urlencoded" || named.ends_with("+json") =>
        {
            Ok(())
        }
        Some(named) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("content-type: \"{named}\" is not taken here; send application/json{others}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::admission::unfinished_bodies::Arrivals;

    #[tokio::test]
    async fn a_batch_counts_until_the_last_copy_of_it_is_dropped() {
        let arrivals = Arc::new(Arrivals::new(9, 1, Counter::default()));
        let begin = || arrivals.begin(Kind::Batch, Address::of([10, 0, 0, 1].into()));
        let arrival = begin();
        arrival.add(100 << 20).unwrap();
        arrival.complete().unwrap();
        let bytes = Bytes::from_owner(BodyBytes { bytes: Bytes::from_static(b"[]"), _arrival: arrival });
        // as it goes through the router to the thread that works on it
        let held = whole(Body::from(bytes)).await.unwrap();
        assert_eq!(held, "[]");
        assert!(begin().add(60 << 20).is_err());
        drop(held);
        begin().add(60 << 20).unwrap();
    }
}
