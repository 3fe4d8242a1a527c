//! The steps that every request passes, before and after its handler: request id, API key, limits, headers, metrics, log.

use std::{convert::Infallible, hash::BuildHasher, net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use hyper::body::Incoming;
use rustc_hash::FxBuildHasher;
use tower::Service;

use crate::{
    admission::{
        address::Address,
        auth::Caller,
        permits::STALL_TIMEOUT,
        unfinished_bodies::{BodyKind, IncomingTable, RequestClient, eviction_error},
    },
    api::{
        feedback::MAX_FEEDBACK_BODY_BYTES,
        predict::{self, MAX_ROW_BODY_BYTES},
    },
    http::{
        body::{self, BodyLimits, RequestBody, StreamBody},
        endpoint::{Endpoint, Listener},
        error::ApiError,
        head::{self, ContentCoding, HeadBytes},
        request_id::{REQUEST_ID, request_id},
    },
    server::{
        connection::{HttpConnection, InFlightGuard, ResponseBody},
        routes::{self, Handler, Route},
    },
    state::AppState,
    telemetry::log::{self, Trace},
};

/// The sources that the pages may load from: this server alone.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The connection of a request, and its addresses.
pub(crate) struct Client {
    pub(crate) listener: Listener,
    pub(crate) peer: SocketAddr,
    pub(crate) connection: Arc<HttpConnection>,
    pub(crate) head: Arc<HeadBytes>,
}

/// A request whose head is parsed.
struct ParsedRequest<'a> {
    app: &'static AppState,
    client: &'a Client,
    parts: Parts,
    id: &'a HeaderValue,
    caller: Caller,
    has_body: bool,
}

/// A response, and whether the request's body was not read to its end: then the connection cannot be used again.
type HandledRequest = (Response, bool);

/// Serves a request.
///
/// # Errors
/// Never: an error is a response.
pub(crate) async fn serve(
    app: &'static AppState,
    client: Arc<Client>,
    mut router: Router,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let started = Instant::now();
    let mut in_flight_guard = InFlightGuard::begin(&app.in_flight, client.connection.clone());
    client.connection.take_turn().await;
    let (parts, body) = request.into_parts();
    let route = routes::find(client.listener, parts.uri.path());
    let endpoint = route.map_or(Endpoint::Other, |route| route.endpoint);
    let method = parts.method.clone();
    let id = request_id(&parts.headers);
    let trace = Trace::from_headers(&parts.headers);
    // pages of other origins may call the API, but not the metrics listener
    let origin = app.access.origin(&parts.headers).filter(|_| client.listener == Listener::Api).cloned();
    let caller = Caller(app.access.caller(&parts.headers));
    let has_body = body::has_body(&parts.headers);

    let (mut response, unread) = match head::check_head(&parts, &client.head, has_body) {
        Err(error) => (head_error(error), true),
        Ok(coding) => {
            let body = RequestBody::new(body, coding);
            let mut parsed = ParsedRequest { app, client: &client, parts, id: &id, caller, has_body };
            if coding != ContentCoding::Plain {
                // they describe the encoded body, and the handlers see the decoded one
                parsed.parts.headers.remove(header::CONTENT_ENCODING);
                parsed.parts.headers.remove(header::CONTENT_LENGTH);
            }
            match route {
                None => (routes::not_found(client.listener).into_response(), has_body),
                Some(_) if is_preflight(&method, origin.as_ref()) => (StatusCode::NO_CONTENT.into_response(), has_body),
                Some(route) => parsed.serve(route, &mut router, &mut in_flight_guard, body).await,
            }
        }
    };
    // every response is under way until it is sent
    in_flight_guard.count();
    if unread {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }

    let status = response.status();
    let duration = started.elapsed();
    app.metrics.record_request(endpoint, &method, status, duration);
    let request_id = id.to_str().unwrap_or_default();
    app.log.request(&log::RequestEntry {
        method: &method,
        endpoint,
        status,
        duration: duration.as_micros(),
        request_id,
        trace,
    });
    finish(response.headers_mut(), endpoint, id, origin, &method);
    Ok(in_flight_guard.until_sent(response))
}

/// The response to an invalid head.
fn head_error(error: ApiError) -> Response {
    let mut response = error.into_response();
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
    }
    response
}

/// Whether this is a browser's preflight request for a page of another origin. Such a request has no API key.
fn is_preflight(method: &Method, allowed_origin: Option<&HeaderValue>) -> bool {
    *method == Method::OPTIONS && allowed_origin.is_some()
}

impl ParsedRequest<'_> {
    /// Serves a request for a route, if its caller has access.
    async fn serve(
        &mut self,
        route: &Route,
        router: &mut Router,
        in_flight_guard: &mut InFlightGuard,
        mut body: RequestBody,
    ) -> HandledRequest {
        if let Err(error) = self.admit(route.endpoint) {
            let unread = self.has_body && !self.drain(body).await;
            return (error.into_response(), unread);
        }
        if !route.handler.accepts(&self.parts.method) {
            return (routes::method_not_allowed(route), self.has_body);
        }
        let Some(kind) = self.kind(route.endpoint) else {
            // it does not use the model, and its body is not read
            let probe = self.client.listener == Listener::Metrics || route.endpoint.is_probe();
            if probe {
                in_flight_guard.count();
            } else if let Err(error) = self.count(in_flight_guard) {
                return (error.into_response(), self.has_body);
            }
            let has_body = self.has_body;
            let response = self.route(router, Body::new(body), None).await;
            let unread = has_body && !response.status().is_success();
            return (response, unread);
        };
        if kind == BodyKind::Stream {
            return match self.count(in_flight_guard) {
                Ok(()) => self.stream(router, body).await,
                Err(error) => (error.into_response(), self.has_body && !self.drain(body).await),
            };
        }
        let limit = match route.endpoint {
            Endpoint::Batch | Endpoint::Infer => self.app.limits.body,
            Endpoint::Feedback => MAX_FEEDBACK_BODY_BYTES,
            _ => self.app.limits.body.min(MAX_ROW_BODY_BYTES),
        };
        let declared = body::declared_length(&self.parts.headers);
        let limits = BodyLimits { kind, address: self.address(), limit, declared };
        let received = match body::receive(self.app, &mut body, &limits).await {
            Ok(received) => received,
            Err(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
                self.app.metrics.record_shed("batches");
                return (error.into_response(), !self.drain(body).await);
            }
            Err(error) => return (error.into_response(), true),
        };
        if let Err(error) = self.count(in_flight_guard) {
            return (error.into_response(), false);
        }
        if let Handler::Row(kind) = route.handler {
            let request_id = self.id.to_str().unwrap_or_default();
            let response = predict::row(self.app, kind, self.caller, &self.parts.headers, request_id, received).await;
            return (response.into_response(), false);
        }
        (self.route(router, Body::from(received), None).await, false)
    }

    /// Checks the API key and the rate limit of the caller.
    fn admit(&self, endpoint: Endpoint) -> Result<(), ApiError> {
        let (app, client) = (self.app, self.client);
        let Caller(caller) = self.caller;
        if client.listener == Listener::Api && app.access.is_guarded() && endpoint.needs_key() && caller.is_none() {
            let message = "missing or invalid API key: send `x-api-key: KEY` or `Authorization: Bearer KEY`";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        }
        if let Some(limit) = app.rate_limit.as_ref().filter(|_| endpoint.is_work()) {
            let address = || FxBuildHasher.hash_one(self.address());
            let caller = caller.map_or_else(address, |name| FxBuildHasher.hash_one(name));
            limit.take(caller, Instant::now()).map_err(|seconds| {
                app.metrics.record_shed("rate_limit");
                ApiError::busy(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded", seconds)
            })?;
        }
        Ok(())
    }

    /// The kind of body that an endpoint reads, if it uses the model.
    fn kind(&self, endpoint: Endpoint) -> Option<BodyKind> {
        match endpoint {
            Endpoint::Predict | Endpoint::Explain | Endpoint::Feedback => Some(BodyKind::Row),
            // a table is processed while it arrives, and other media types are rejected unread
            Endpoint::Batch if body::check_json(&self.parts.headers, "").is_err() => Some(BodyKind::Stream),
            Endpoint::Batch | Endpoint::Infer => Some(BodyKind::Batch),
            _ => None,
        }
    }

    /// Counts the request as under way, because its body is complete.
    fn count(&self, in_flight_guard: &mut InFlightGuard) -> Result<(), ApiError> {
        let app = self.app;
        if in_flight_guard.count() > app.limits.in_flight as i64 && !app.connections.close_stalled(STALL_TIMEOUT, false) {
            app.metrics.record_shed("overload");
            return Err(ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "too many concurrent requests", 1));
        }
        Ok(())
    }

    /// Serves a table that is processed while it arrives.
    async fn stream(&mut self, router: &mut Router, body: RequestBody) -> HandledRequest {
        let unfinished = Arc::new(self.app.unfinished_bodies.begin(BodyKind::Stream, self.address()));
        let has_body = self.has_body;
        let body = StreamBody::new(body, unfinished.clone());
        let table = IncomingTable { body: unfinished.clone(), decoder_memory: body.decoder_memory() };
        let response = self.route(router, Body::new(body), Some(table)).await;
        let is_rejected = !response.status().is_success();
        if is_rejected && unfinished.notice().is_sent() {
            return (eviction_error().into_response(), true);
        }
        (response, has_body && is_rejected)
    }

    /// Serves a request by the router. `table` is its body if that is processed while it arrives.
    async fn route(&mut self, router: &mut Router, body: Body, table: Option<IncomingTable>) -> Response {
        let client = RequestClient { address: self.address(), table };
        self.parts.headers.insert(REQUEST_ID, self.id.clone());
        self.parts.extensions.insert(self.caller);
        self.parts.extensions.insert(client);
        let (empty, ()) = Request::new(()).into_parts();
        let parts = std::mem::replace(&mut self.parts, empty);
        let Ok(response) = router.call(Request::from_parts(parts, body)).await;
        response
    }

    fn address(&self) -> Address {
        self.app.proxies.client(self.client.peer, &self.parts.headers)
    }

    /// Reads the body of a rejected request as far as allowed; false if it was not read to its end.
    async fn drain(&self, body: RequestBody) -> bool {
        // a client that sent `expect` gets the rejection instead of the body being read
        let expects_continue = self.parts.headers.contains_key(header::EXPECT);
        !expects_continue
            && body::drain_rejected(self.app, body, body::declared_length(&self.parts.headers), self.address()).await
    }
}

/// Sets the headers of every response.
fn finish(headers: &mut HeaderMap, endpoint: Endpoint, id: HeaderValue, origin: Option<HeaderValue>, method: &Method) {
    headers.reserve(8);
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if matches!(endpoint, Endpoint::Page | Endpoint::Docs) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    } else {
        // responses that are no pages load nothing and are not framed
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
