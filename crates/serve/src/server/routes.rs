//! The routes: one table of paths, methods, listeners and handlers.

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};

use crate::{
    api::{batch, feedback, health, metrics, model, open_inference, predict::ResponseKind},
    http::{
        endpoint::{Endpoint, Listener},
        error::{ApiError, json_response},
    },
    state::AppState,
};

/// A path, and the one method that it accepts.
pub(crate) struct Route {
    /// Segments in braces are parameters.
    pub(crate) path: &'static str,
    pub(crate) endpoint: Endpoint,
    /// Whether the metrics listener serves it, too. The API listener serves every route.
    on_metrics: bool,
    pub(crate) handler: Handler,
}

/// The handler of a route.
pub(crate) enum Handler {
    /// `POST` of one row. It bypasses the router, because these requests are the most frequent.
    Row(ResponseKind),
    /// `POST` through the router.
    Post(fn() -> MethodRouter<&'static AppState>),
    /// `GET` and `HEAD` through the router.
    Get(fn() -> MethodRouter<&'static AppState>),
}

impl Handler {
    /// The methods, as the header `allow` lists them.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Self::Row(_) | Self::Post(_) => "POST",
            Self::Get(_) => "GET, HEAD",
        }
    }

    /// Whether the route accepts a method.
    pub(crate) fn accepts(&self, method: &Method) -> bool {
        match self {
            Self::Row(_) | Self::Post(_) => method == Method::POST,
            Self::Get(_) => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// A route of the API listener alone.
const fn api(path: &'static str, endpoint: Endpoint, handler: Handler) -> Route {
    Route { path, endpoint, on_metrics: false, handler }
}

/// A route of both listeners.
const fn both(path: &'static str, endpoint: Endpoint, handler: Handler) -> Route {
    Route { path, endpoint, on_metrics: true, handler }
}

/// All routes, the most frequent first.
pub(crate) static ROUTES: [Route; 24] = [
    api("/predict", Endpoint::Predict, Handler::Row(ResponseKind::Prediction)),
    api("/explain", Endpoint::Explain, Handler::Row(ResponseKind::Explanation)),
    api("/batch-predict", Endpoint::Batch, Handler::Post(|| post(batch::batch))),
    api("/feedback", Endpoint::Feedback, Handler::Post(|| post(feedback::feedback))),
    both("/health", Endpoint::Health, Handler::Get(|| get(health::health))),
    both("/health/live", Endpoint::Live, Handler::Get(|| get(health::live))),
    both("/health/ready", Endpoint::Ready, Handler::Get(|| get(health::ready))),
    both("/v2/health/live", Endpoint::Live, Handler::Get(|| get(health::live))),
    both("/v2/health/ready", Endpoint::Ready, Handler::Get(|| get(health::ready))),
    both("/metrics", Endpoint::Metrics, Handler::Get(|| get(metrics::metrics))),
    api("/model", Endpoint::Model, Handler::Get(|| get(model::model))),
    api("/openapi.json", Endpoint::OpenApi, Handler::Get(|| get(openapi))),
    api("/v2", Endpoint::V2, Handler::Get(|| get(open_inference::server))),
    api("/v2/models/{name}", Endpoint::V2, Handler::Get(|| get(open_inference::metadata))),
    api("/v2/models/{name}/ready", Endpoint::V2, Handler::Get(|| get(open_inference::ready))),
    api("/v2/models/{name}/infer", Endpoint::Infer, Handler::Post(|| post(open_inference::infer))),
    api("/v2/models/{name}/versions/{version}", Endpoint::V2, Handler::Get(|| get(open_inference::metadata))),
    api("/v2/models/{name}/versions/{version}/ready", Endpoint::V2, Handler::Get(|| get(open_inference::ready))),
    api("/v2/models/{name}/versions/{version}/infer", Endpoint::Infer, Handler::Post(|| post(open_inference::infer))),
    api("/", Endpoint::Page, Handler::Get(|| get(|| async { asset(HTML_TYPE, include_str!("../assets/page.html")) }))),
    api("/docs", Endpoint::Docs, Handler::Get(|| get(|| async { asset(HTML_TYPE, include_str!("../assets/docs.html")) }))),
    api(
        "/assets/page.css",
        Endpoint::Page,
        Handler::Get(|| get(|| async { asset(STYLE_TYPE, include_str!("../assets/page.css")) })),
    ),
    api(
        "/assets/page.js",
        Endpoint::Page,
        Handler::Get(|| get(|| async { asset(SCRIPT_TYPE, include_str!("../assets/page.js")) })),
    ),
    api(
        "/assets/docs.js",
        Endpoint::Page,
        Handler::Get(|| get(|| async { asset(SCRIPT_TYPE, include_str!("../assets/docs.js")) })),
    ),
];

const HTML_TYPE: &str = "text/html; charset=utf-8";
const STYLE_TYPE: &str = "text/css; charset=utf-8";
const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";

/// The routes of a listener.
fn routes(listener: Listener) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| listener == Listener::Api || route.on_metrics)
}

/// The route of a path on a listener. Paths are compared byte by byte, without decoding or normalisation.
pub(crate) fn find(listener: Listener, path: &str) -> Option<&'static Route> {
    routes(listener).find(|route| matches(route.path, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    if !pattern.contains('{') {
        return pattern == path;
    }
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(expected), Some(actual)) if expected == actual || (expected.starts_with('{') && !actual.is_empty()) => {}
            _ => return false,
        }
    }
}

/// The router of a listener. It handles all routes except those of single rows.
pub(crate) fn router(listener: Listener, app: &'static AppState) -> Router {
    let handlers = routes(listener).filter_map(|route| match route.handler {
        Handler::Row(_) => None,
        Handler::Post(handler) | Handler::Get(handler) => Some((route.path, handler())),
    });
    let router = handlers.fold(Router::new(), |router, (path, handler)| router.route(path, handler));
    router.fallback(move || async move { not_found(listener) }).with_state(app)
}

async fn openapi(State(app): State<&'static AppState>) -> Response {
    json_response(StatusCode::OK, app.models.load().openapi.clone())
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // they belong to this version of the program
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The error where a listener has no such path.
pub(crate) fn not_found(listener: Listener) -> ApiError {
    let message = match listener {
        Listener::Api => "not found; see /docs",
        Listener::Metrics => "not found; this listener has /metrics, /health, /health/live and /health/ready",
    };
    ApiError::new(StatusCode::NOT_FOUND, message)
}

/// The response where a path does not accept the method.
pub(crate) fn method_not_allowed(route: &Route) -> Response {
    let methods = route.handler.methods();
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path accepts {methods}; see /docs"));
    let mut response = error.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_route_or_to_none() {
        for route in &ROUTES {
            let path = route.path.replace("{name}", "house").replace("{version}", "3");
            let paths: Vec<&str> =
                ROUTES.iter().filter(|other| matches(other.path, &path)).map(|other| other.path).collect();
            assert_eq!(paths, [route.path]);
            assert_eq!(find(Listener::Api, &path).unwrap().endpoint, route.endpoint);
            assert_eq!(find(Listener::Metrics, &path).is_some(), route.on_metrics, "{path}");
        }
        for other in [
            "",
            "*",
            "//predict",
            "/predict/",
            "/Predict",
            "/%70redict",
            "/predict;x",
            "/v2/",
            "/v2/models",
            "/v2/models/",
            "/v2/models//ready",
            "/v2/models/m/versions/3/infer/x",
            "/assets/",
            "/assets/other.js",
            "/health/",
            "/metrics/x",
        ] {
            assert!(find(Listener::Api, other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_metrics_listener_has_probes_and_metrics_alone() {
        let endpoints = [Endpoint::Health, Endpoint::Live, Endpoint::Ready, Endpoint::Metrics];
        for route in routes(Listener::Metrics) {
            assert!(endpoints.contains(&route.endpoint), "{}", route.path);
        }
        for open in ROUTES.iter().filter(|route| !route.endpoint.needs_key()) {
            let unguarded = [Endpoint::Health, Endpoint::Live, Endpoint::Ready, Endpoint::Page, Endpoint::Docs];
            assert!(unguarded.contains(&open.endpoint), "{}", open.path);
        }
    }
}
