//! What every request passes, on its way in and out: its id, keys, limits, headers, metrics, the log.

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
        permits::STALLED,
        unfinished_bodies::{Arrival, Kind, Sender, gave_way},
    },
    api::{
        feedback::FEEDBACK_BODY,
        predict::{self, ROW_BODY},
    },
    http::{
        body::{self, BodyLimits, RequestBody, StreamBody},
        endpoint::{Endpoint, Listener},
        error::ApiError,
        head::{self, Coding, HeadBytes},
        request_id::{REQUEST_ID, request_id},
    },
    server::{
        connection::{Answer, Connection, InFlightGuard},
        routes::{self, Handler, Route},
    },
    state::AppState,
    telemetry::log::{self, Trace},
};

/// What a page of ours may load: what comes from here.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a connection brings to each of its requests.
pub(crate) struct Client {
    pub(crate) door: Listener,
    pub(crate) peer: SocketAddr,
    pub(crate) connection: Arc<Connection>,
    pub(crate) head: Arc<HeadBytes>,
}

/// A request whose head is read.
struct ParsedRequest<'a> {
    app: &'static AppState,
    client: &'a Client,
    parts: Parts,
    id: &'a HeaderValue,
    caller: Caller,
    has_body: bool,
}

/// What is answered, and whether the body of the request was not read to its end: then the connection cannot be used again.
type Answered = (Response, bool);

/// Answers a request.
///
/// # Errors
/// Never: whatever goes wrong is an answer.
pub(crate) async fn answer(
    app: &'static AppState,
    client: Arc<Client>,
    mut router: Router,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let started = Instant::now();
    let mut under_way = InFlightGuard::begin(&app.in_flight, client.connection.clone());
    client.connection.take_turn().await;
    let (parts, body) = request.into_parts();
    let route = routes::find(client.door, parts.uri.path());
    let endpoint = route.map_or(Endpoint::Other, |route| route.endpoint);
    let method = parts.method.clone();
    let id = request_id(&parts.headers);
    let trace = Trace::of(&parts.headers);
    // pages of other origins call the API, and nothing else
    let origin = app.access.origin(&parts.headers).filter(|_| client.door == Listener::Api).cloned();
    let caller = Caller(app.access.caller(&parts.headers));
    let has_body = body::is_there(&parts.headers);

    let (mut response, unread) = match head::check(&parts, &client.head, has_body) {
        Err(refusal) => (refuse_head(refusal), true),
        Ok(coding) => {
            let body = RequestBody::new(body, coding);
            let mut asked = ParsedRequest { app, client: &client, parts, id: &id, caller, has_body };
            if coding != Coding::Plain {
                // what they say is not true of the decoded body
                asked.parts.headers.remove(header::CONTENT_ENCODING);
                asked.parts.headers.remove(header::CONTENT_LENGTH);
            }
            match route {
                None => (routes::not_found(client.door).into_response(), has_body),
                Some(_) if is_preflight(&method, origin.as_ref()) => (StatusCode::NO_CONTENT.into_response(), has_body),
                Some(route) => asked.answer(route, &mut router, &mut under_way, body).await,
            }
        }
    };
    // a page or a refusal is under way, too, until it is sent
    under_way.count();
    if unread {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }

    let status = response.status();
    let took = started.elapsed();
    app.metrics.answered(endpoint, &method, status, took);
    let request_id = id.to_str().unwrap_or_default();
    app.log.request(&log::Answered { method: &method, endpoint, status, took: took.as_micros(), request_id, trace });
    finish(response.headers_mut(), endpoint, id, origin, &method);
    Ok(under_way.until_sent(response))
}

/// The answer to a head that is not understood.
fn refuse_head(refusal: ApiError) -> Response {
    let mut response = refusal.into_response();
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
    }
    response
}

/// Whether a browser asks if a page of another origin may call the API: a question that carries no key.
fn is_preflight(method: &Method, allowed_origin: Option<&HeaderValue>) -> bool {
    *method == Method::OPTIONS && allowed_origin.is_some()
}

impl ParsedRequest<'_> {
    /// Answers a request for a route, if its caller may ask.
    async fn answer(
        &mut self,
        route: &Route,
        router: &mut Router,
        under_way: &mut InFlightGuard,
        mut body: RequestBody,
    ) -> Answered {
        if let Err(refusal) = self.admit(route.endpoint) {
            let unread = self.has_body && !self.drain(body).await;
            return (refusal.into_response(), unread);
        }
        if !route.handler.takes(&self.parts.method) {
            return (routes::other_method(route), self.has_body);
        }
        let Some(kind) = self.kind(route.endpoint) else {
            // it makes no work, and has no body that is read
            let probe = self.client.door == Listener::Metrics || route.endpoint.is_probe();
            if probe {
                under_way.count();
            } else if let Err(refusal) = self.count(under_way) {
                return (refusal.into_response(), self.has_body);
            }
            let has_body = self.has_body;
            let response = self.route(router, Body::new(body), None).await;
            let unread = has_body && !response.status().is_success();
            return (response, unread);
        };
        if kind == Kind::Stream {
            return match self.count(under_way) {
                Ok(()) => self.stream(router, body).await,
                Err(refusal) => (refusal.into_response(), self.has_body && !self.drain(body).await),
            };
        }
        let limit = match route.endpoint {
            Endpoint::Batch | Endpoint::Infer => self.app.limits.body,
            Endpoint::Feedback => FEEDBACK_BODY,
            _ => self.app.limits.body.min(ROW_BODY),
        };
        let declared = body::declared(&self.parts.headers);
        let limits = BodyLimits { kind, address: self.address(), limit, declared };
        let received = match body::receive(self.app, &mut body, &limits).await {
            Ok(received) => received,
            Err(refusal) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => {
                self.app.metrics.shed("batches");
                return (refusal.into_response(), !self.drain(body).await);
            }
            Err(refusal) => return (refusal.into_response(), true),
        };
        if let Err(refusal) = self.count(under_way) {
            return (refusal.into_response(), false);
        }
        if let Handler::Row(form) = route.handler {
            let request_id = self.id.to_str().unwrap_or_default();
            let answer = predict::row(self.app, form, self.caller, &self.parts.headers, request_id, received).await;
            return (answer.into_response(), false);
        }
        (self.route(router, Body::from(received), None).await, false)
    }

    /// Whether the caller may ask for an endpoint, and has not asked too often.
    fn admit(&self, endpoint: Endpoint) -> Result<(), ApiError> {
        let (app, client) = (self.app, self.client);
        let Caller(caller) = self.caller;
        if client.door == Listener::Api && app.access.is_guarded() && endpoint.needs_key() && caller.is_none() {
            let message = "a key is needed: send it in x-api-key, or as authorization: Bearer";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        }
        if let Some(limit) = app.rate_limit.as_ref().filter(|_| endpoint.is_work()) {
            let address = || FxBuildHasher.hash_one(self.address());
            let caller = caller.map_or_else(address, |name| FxBuildHasher.hash_one(name));
            limit.take(caller, Instant::now()).map_err(|seconds| {
                app.metrics.shed("rate_limit");
                ApiError::busy(StatusCode::TOO_MANY_REQUESTS, "more requests than this caller may make", seconds)
            })?;
        }
        Ok(())
    }

    /// What the body of a request for work is for.
    fn kind(&self, endpoint: Endpoint) -> Option<Kind> {
        match endpoint {
            Endpoint::Predict | Endpoint::Explain | Endpoint::Feedback => Some(Kind::Row),
            // a table is read as it comes, and what is neither is refused unread
            Endpoint::Batch if body::check_json(&self.parts.headers, "").is_err() => Some(Kind::Stream),
            Endpoint::Batch | Endpoint::Infer => Some(Kind::Batch),
            _ => None,
        }
    }

    /// Counts the request as under way, now that its body is there.
    fn count(&self, under_way: &mut InFlightGuard) -> Result<(), ApiError> {
        let app = self.app;
        if under_way.count() > app.limits.in_flight as i64 && !app.connections.close_stalled(STALLED, false) {
            app.metrics.shed("overload");
            return Err(ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way", 1));
        }
        Ok(())
    }

    /// Answers a table that is read as it comes.
    async fn stream(&mut self, router: &mut Router, body: RequestBody) -> Answered {
        let arrival = Arc::new(self.app.arrivals.begin(Kind::Stream, self.address()));
        let has_body = self.has_body;
        let body = StreamBody::new(body, arrival.clone());
        let table = (arrival.clone(), body.decoder_memory());
        let response = self.route(router, Body::new(body), Some(table)).await;
        let refused = !response.status().is_success();
        if refused && arrival.notice().is_given() {
            return (gave_way().into_response(), true);
        }
        (response, has_body && refused)
    }

    /// Answers by the router. `table` is the place of a body that is worked on while it comes, and the memory that decoding it takes.
    async fn route(&mut self, router: &mut Router, body: Body, table: Option<(Arc<Arrival>, usize)>) -> Response {
        let (table, decoder_memory) = table.unzip();
        let sender = Sender { address: self.address(), table, decoder_memory: decoder_memory.unwrap_or_default() };
        self.parts.headers.insert(REQUEST_ID, self.id.clone());
        self.parts.extensions.insert(self.caller);
        self.parts.extensions.insert(sender);
        let (nothing, ()) = Request::new(()).into_parts();
        let parts = std::mem::replace(&mut self.parts, nothing);
        let Ok(response) = router.call(Request::from_parts(parts, body)).await;
        response
    }

    fn address(&self) -> Address {
        self.app.proxies.client(self.client.peer, &self.parts.headers)
    }

    /// Reads the body of a refused request, as far as that may be; false if it was not read to its end.
    async fn drain(&self, body: RequestBody) -> bool {
        // who waits for a go-ahead hears the refusal instead
        let waits = self.parts.headers.contains_key(header::EXPECT);
        !waits && body::drain_refused(self.app, body, body::declared(&self.parts.headers), self.address()).await
    }
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
