//! `GET /metrics`.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use crate::{state::AppState, telemetry::metrics::prometheus_text};

/// The media type for Prometheus, which requests it.
const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type for other clients.
const PLAIN_TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<&'static AppState>, headers: HeaderMap) -> Response {
    app.metrics.in_flight.set(app.in_flight.load(std::sync::atomic::Ordering::Relaxed));
    app.metrics.unfinished.set(app.unfinished_bodies.unfinished() as i64);
    let text = app.metrics.render(&app.models.load_full(), &app.realised_errors.errors());
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let open = accept.contains("application/openmetrics-text");
    let (text, media_type) = if open { (text, OPENMETRICS_TYPE) } else { (prometheus_text(&text), PLAIN_TEXT_TYPE) };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
