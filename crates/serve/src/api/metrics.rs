//! What the server says of itself and its model, and what it is told of true values.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use crate::{state::AppState, telemetry::metrics::plain};

/// What Prometheus is sent, as it asks for it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What everybody else is sent.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<&'static AppState>, headers: HeaderMap) -> Response {
    app.metrics.in_flight.set(app.in_flight.load(std::sync::atomic::Ordering::Relaxed));
    app.metrics.unfinished.set(app.arrivals.unfinished() as i64);
    let text = app.metrics.render(&app.models.load_full(), &app.realised_errors.errors());
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let open = accept.contains("application/openmetrics-text");
    let (text, media_type) = if open { (text, OPEN_METRICS) } else { (plain(&text), PLAIN_METRICS) };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
