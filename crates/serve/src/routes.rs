//! Which path leads to which handler.

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::{any, get, post},
};

use crate::{
    about,
    app::Shared,
    batch, oip,
    refusal::{Refusal, json_response},
};

/// All of the API and the page.
pub(crate) fn api(app: Shared) -> Router {
    Router::new()
        // asked for by POST they are answered before they come here
        .route("/predict", any(other_method))
        .route("/explain", any(other_method))
        .route("/batch-predict", post(batch::batch))
        .route("/feedback", post(about::feedback))
        .route("/model", get(about::model))
        .route("/openapi.json", get(openapi))
        .route("/v2", get(oip::server))
        .route("/v2/models/{name}", get(oip::metadata))
        .route("/v2/models/{name}/ready", get(oip::ready))
        .route("/v2/models/{name}/infer", post(oip::infer))
        .route("/v2/models/{name}/versions/{version}", get(oip::metadata))
        .route("/v2/models/{name}/versions/{version}/ready", get(oip::ready))
        .route("/v2/models/{name}/versions/{version}/infer", post(oip::infer))
        .route("/", get(|| async { asset("text/html; charset=utf-8", include_str!("assets/page.html")) }))
        .route("/docs", get(|| async { asset("text/html; charset=utf-8", include_str!("assets/docs.html")) }))
        .route("/assets/page.css", get(|| async { asset("text/css; charset=utf-8", include_str!("assets/page.css")) }))
        .route("/assets/page.js", get(|| async { asset("text/javascript; charset=utf-8", include_str!("assets/page.js")) }))
        .route("/assets/docs.js", get(|| async { asset("text/javascript; charset=utf-8", include_str!("assets/docs.js")) }))
        .merge(probes())
        .fallback(nowhere)
        .method_not_allowed_fallback(other_method)
        .with_state(app)
}

/// Metrics and the probes on their own.
pub(crate) fn metrics(app: Shared) -> Router {
    probes().fallback(nowhere).method_not_allowed_fallback(other_method).with_state(app)
}

fn probes() -> Router<Shared> {
    Router::new()
        .route("/health", get(about::health))
        .route("/health/live", get(about::live))
        .route("/health/ready", get(about::ready))
        .route("/v2/health/live", get(about::live))
        .route("/v2/health/ready", get(about::ready))
        .route("/metrics", get(about::metrics))
}

async fn openapi(State(app): State<Shared>) -> Response {
    json_response(StatusCode::OK, app.models.load().openapi.clone())
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // they belong to this version of the program
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn nowhere() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing here; /docs says what there is")
}

async fn other_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method; /docs says which")
}
