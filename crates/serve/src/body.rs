//! Reads bodies, within limits.

use std::{
    future::poll_fn,
    pin::Pin,
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
    address::Address,
    app::Shared,
    arrivals::{Arrival, Kind, gave_way},
    gzip::Decoded,
    head::Coding,
    received::Received,
    refusal::Refusal,
};

/// How long a body is read that nobody looks at.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The body of a request, decoded.
pub(crate) enum RequestBody {
    Plain(Incoming),
    Gzip(Box<Decoded<Incoming>>),
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, coding: Coding) -> Self {
        match coding {
            Coding::Plain => Self::Plain(body),
            Coding::Gzip => Self::Gzip(Box::new(Decoded::new(body))),
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
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) address: Address,
    /// Bytes at most.
    pub(crate) limit: usize,
    /// Its length as the head says.
    pub(crate) declared: Option<u64>,
}

/// Reads a body whole; a batch's comes with the memory that it holds. What comes together with its head takes no place among those that
/// come slowly.
///
/// # Errors
/// If it is too large, comes too slowly, is cut off, or has to give way to others.
pub(crate) async fn receive(
    app: Shared,
    mut body: RequestBody,
    expected: &Expected,
) -> Result<(Bytes, Option<Arrival>), Refusal> {
    let Expected { kind, address, limit, declared } = *expected;
    // what says that it is too large is not read
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(Refusal::too_large(limit));
    }
    let time = app.limits.time;
    let mut received = Received::new(limit, declared);
    let mut arrival = (kind == Kind::Batch).then(|| app.arrivals.begin(kind, address));
    let mut end = None;
    loop {
        let frame = match poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if arrival.is_none() {
                    let begun = app.arrivals.begin(kind, address);
                    begun.add(received.len())?;
                    arrival = Some(begun);
                }
                let end = end.get_or_insert_with(|| Box::pin(sleep(time)));
                tokio::select! {
                    biased;
                    () = notice(arrival.as_ref()) => return Err(gave_way()),
                    frame = body.frame() => frame,
                    () = end => {
                        let message = format!("the body did not come within {} seconds", time.as_secs_f64());
                        return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message));
                    }
                }
            }
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Refusal::bad_request(format!("the body could not be read: {error}")))?;
        let Ok(part) = frame.into_data() else { continue };
        if part.len() > limit - received.len() {
            return Err(Refusal::too_large(limit));
        }
        if let Some(arrival) = &arrival {
            arrival.add(part.len())?;
        }
        received
            .add(part)
            .map_err(|_| Refusal::busy(StatusCode::SERVICE_UNAVAILABLE, "there is no memory for the body", 1))?;
    }
    if let Some(arrival) = &arrival {
        arrival.complete()?;
    }
    Ok((received.finish(), arrival.filter(|_| kind == Kind::Batch)))
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
pub(crate) async fn whole(body: Body) -> Result<Bytes, Refusal> {
    let body = body.collect().await.map_err(|error| Refusal::bad_request(format!("the body could not be read: {error}")))?;
    Ok(body.to_bytes())
}

/// A body that is worked on while it comes. It ends in an error where it has to give way.
pub(crate) struct Tracked {
    body: RequestBody,
    arrival: Arrival,
}

impl Tracked {
    pub(crate) fn new(body: RequestBody, arrival: Arrival) -> Self {
        Self { body, arrival }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let gave_way = || Poll::Ready(Some(Err("the body had to give way to others".into())));
        let frame = Pin::new(&mut self.body).poll_frame(context);
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
pub(crate) async fn drain_refused(app: Shared, mut body: RequestBody, declared: Option<u64>, address: Address) -> bool {
    if declared.is_none_or(|length| length > app.limits.body as u64) {
        return false;
    }
    let arrival = app.arrivals.begin(Kind::Refused, address);
    let rest = async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(_)) => {}
            }
        }
    };
    tokio::select! {
        biased;
        read = rest => read,
        () = arrival.notice().wait() => false,
        () = sleep(DRAIN_TIME) => false,
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
