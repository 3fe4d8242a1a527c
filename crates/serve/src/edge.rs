//! What every request passes, on its way in and out: its id, keys, limits, headers, metrics, the log.

use std::{convert::Infallible, hash::BuildHasher, net::SocketAddr, sync::atomic::Ordering, time::Instant};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::Incoming;
use rustc_hash::FxBuildHasher;
use tower::Service;

use crate::{
    access::Caller,
    app::Shared,
    body,
    endpoint::Endpoint,
    log::{Answered, Trace},
    predict,
    refusal::Refusal,
    routes::{self, Handler},
};

/// The header that carries a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a page of ours may load: what comes from here.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Longer ids are replaced.
pub(crate) const LONGEST_ID: usize = 128;

/// Where a request comes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    /// The API and the page.
    Front,
    /// Metrics and probes and nothing else: who reaches it needs no key.
    Metrics,
}

/// A request under way: counted until it is answered, or given up.
struct UnderWay(Shared);

impl UnderWay {
    fn begin(app: Shared) -> (Self, i64) {
        let now = app.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(app), now)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers a request.
///
/// # Errors
/// Never: whatever goes wrong is an answer.
pub(crate) async fn answer(
    app: Shared,
    door: Door,
    mut router: Router,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let route = routes::find(door, parts.uri.path());
    let endpoint = route.map_or(Endpoint::Other, |route| route.endpoint);
    let method = parts.method.clone();
    let id = request_id(&parts.headers);
    let request_id = id.to_str().unwrap_or_default();
    let trace = Trace::of(&parts.headers);
    // pages of other origins call the API, and nothing else
    let origin = app.access.origin(&parts.headers).filter(|_| door == Door::Front).cloned();
    let caller = Caller(app.access.caller(&parts.headers));
    let (_under_way, in_flight) = UnderWay::begin(app);

    let has_body = body::is_there(&parts.headers);
    // what is refused before its body was read: the connection cannot be used again
    let unread;
    let mut response = if let Some(route) = route.filter(|_| !is_preflight(&method, origin.as_ref())) {
        if let Err(refusal) = admit(app, door, endpoint, caller, peer, in_flight) {
            unread = has_body && !body::drain(body, &parts.headers, app.limits.body).await;
            refusal.into_response()
        } else if !route.handler.takes(&method) {
            unread = has_body;
            routes::other_method(route)
        } else if let Handler::Row(form) = route.handler {
            let response = predict::row(app, form, caller, &parts.headers, request_id, body).await.into_response();
            unread = matches!(response.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT);
            response
        } else {
            parts.headers.insert(REQUEST_ID, id.clone());
            parts.extensions.insert(caller);
            let Ok(response) = router.call(Request::from_parts(parts, Body::new(body))).await;
            let refused = response.status().is_client_error() || response.status().is_server_error();
            unread = has_body && refused && response.status() != StatusCode::UNPROCESSABLE_ENTITY;
            response
        }
    } else {
        unread = has_body;
        if route.is_some() { StatusCode::NO_CONTENT.into_response() } else { routes::not_found(door).into_response() }
    };
    if unread {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }

    let status = response.status();
    let took = started.elapsed();
    app.metrics.answered(endpoint, &method, status, took);
    app.log.request(&Answered { method: &method, endpoint, status, took: took.as_micros(), request_id, trace });
    finish(response.headers_mut(), endpoint, id, origin, &method);
    Ok(response)
}

/// Whether a browser asks if a page of another origin may call the API: a question that carries no key.
fn is_preflight(method: &Method, allowed_origin: Option<&HeaderValue>) -> bool {
    *method == Method::OPTIONS && allowed_origin.is_some()
}

/// Whether a request is taken on.
fn admit(
    app: Shared,
    door: Door,
    endpoint: Endpoint,
    Caller(caller): Caller,
    peer: SocketAddr,
    in_flight: i64,
) -> Result<(), Refusal> {
    if door == Door::Front && app.access.is_guarded() && endpoint.needs_key() && caller.is_none() {
        let message = "a key is needed: send it in x-api-key, or as authorization: Bearer";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, message));
    }
    if !endpoint.is_work() {
        return Ok(());
    }
    if in_flight > app.limits.in_flight as i64 {
        app.metrics.shed("overload");
        return Err(Refusal::busy(StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way", 1));
    }
    if let Some(limit) = &app.rate_limit {
        let caller = caller.map_or_else(|| FxBuildHasher.hash_one(peer.ip()), |name| FxBuildHasher.hash_one(name));
        limit.take(caller, Instant::now()).map_err(|seconds| {
            app.metrics.shed("rate_limit");
            Refusal::busy(StatusCode::TOO_MANY_REQUESTS, "more requests than this caller may make", seconds)
        })?;
    }
    Ok(())
}

/// The id that came, if it is sound, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
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

/// The headers of every answer.
fn finish(headers: &mut HeaderMap, endpoint: Endpoint, id: HeaderValue, origin: Option<HeaderValue>, method: &Method) {
    headers.reserve(8);
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if matches!(endpoint, Endpoint::Page | Endpoint::Docs) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    } else {
        // what is no page loads nothing, and stands in no frame
        headers
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let Some(origin) = origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    if *method == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        let allowed = "authorization, content-type, traceparent, x-api-key, x-model, x-request-id";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}
