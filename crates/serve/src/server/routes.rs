//! One table of what can be asked for: listeners, paths, methods and handlers. Whatever answers a request is found in it.

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

/// A path with the one method that it takes.
pub(crate) struct Route {
    /// Segments in braces are parameters.
    pub(crate) path: &'static str,
    pub(crate) endpoint: Endpoint,
    /// Whether the metrics listener answers it, too. The API's listener answers every route.
    on_metrics: bool,
    pub(crate) handler: Handler,
}

/// What answers a route.
pub(crate) enum Handler {
    /// `POST`: one row, answered without the router, because it is asked for most.
    Row(ResponseKind),
    /// `POST` by the router.
    Post(fn() -> MethodRouter<&'static AppState>),
    /// `GET` and `HEAD` by the router.
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

    /// Whether it answers this method.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Row(_) | Self::Post(_) => method == Method::POST,
            Self::Get(_) => method == Method::GET || method == Method::HEAD,
        }
    }
}

const fn row(path: &'static str, endpoint: Endpoint, form: ResponseKind) -> Route {
    Route { path, endpoint, on_metrics: false, handler: Handler::Row(form) }
}

const fn api_post(path: &'static str, endpoint: Endpoint, handler: fn() -> MethodRouter<&'static AppState>) -> Route {
    Route { path, endpoint, on_metrics: false, handler: Handler::Post(handler) }
}

const fn api_get(path: &'static str, endpoint: Endpoint, handler: fn() -> MethodRouter<&'static AppState>) -> Route {
    Route { path, endpoint, on_metrics: false, handler: Handler::Get(handler) }
}

const fn probe(path: &'static str, endpoint: Endpoint, handler: fn() -> MethodRouter<&'static AppState>) -> Route {
    Route { path, endpoint, on_metrics: true, handler: Handler::Get(handler) }
}

/// Every route of every listener; what is asked for most stands first.
pub(crate) static ROUTES: [Route; 24] = [
    row("/predict", Endpoint::Predict, ResponseKind::Prediction),
    row("/explain", Endpoint::Explain, ResponseKind::Explanation),
    api_post("/batch-predict", Endpoint::Batch, || post(batch::batch)),
    api_post("/feedback", Endpoint::Feedback, || post(feedback::feedback)),
    probe("/health", Endpoint::Health, || get(health::health)),
    probe("/health/live", Endpoint::Live, || get(health::live)),
    probe("/health/ready", Endpoint::Ready, || get(health::ready)),
    probe("/v2/health/live", Endpoint::Live, || get(health::live)),
    probe("/v2/health/ready", Endpoint::Ready, || get(health::ready)),
    probe("/metrics", Endpoint::Metrics, || get(metrics::metrics)),
    api_get("/model", Endpoint::Model, || get(model::model)),
    api_get("/openapi.json", Endpoint::OpenApi, || get(openapi)),
    api_get("/v2", Endpoint::V2, || get(open_inference::server)),
    api_get("/v2/models/{name}", Endpoint::V2, || get(open_inference::metadata)),
    api_get("/v2/models/{name}/ready", Endpoint::V2, || get(open_inference::ready)),
    api_post("/v2/models/{name}/infer", Endpoint::Infer, || post(open_inference::infer)),
    api_get("/v2/models/{name}/versions/{version}", Endpoint::V2, || get(open_inference::metadata)),
    api_get("/v2/models/{name}/versions/{version}/ready", Endpoint::V2, || get(open_inference::ready)),
    api_post("/v2/models/{name}/versions/{version}/infer", Endpoint::Infer, || post(open_inference::infer)),
    api_get("/", Endpoint::Page, || get(|| async { asset(HTML, include_str!("../assets/page.html")) })),
    api_get("/docs", Endpoint::Docs, || get(|| async { asset(HTML, include_str!("../assets/docs.html")) })),
    api_get("/assets/page.css", Endpoint::Page, || get(|| async { asset(STYLE, include_str!("../assets/page.css")) })),
    api_get("/assets/page.js", Endpoint::Page, || get(|| async { asset(SCRIPT, include_str!("../assets/page.js")) })),
    api_get("/assets/docs.js", Endpoint::Page, || get(|| async { asset(SCRIPT, include_str!("../assets/docs.js")) })),
];

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The routes of a listener.
fn routes(door: Listener) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| door == Listener::Api || route.on_metrics)
}

/// The route of a path at a listener. Paths are compared byte by byte: nothing is decoded, joined or cut before.
pub(crate) fn find(door: Listener, path: &str) -> Option<&'static Route> {
    routes(door).find(|route| matches(route.path, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    if !pattern.contains('{') {
        return pattern == path;
    }
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found || (wanted.starts_with('{') && !found.is_empty()) => {}
            _ => return false,
        }
    }
}

/// The router of a listener, which answers its routes but for those of single rows.
pub(crate) fn router(door: Listener, app: &'static AppState) -> Router {
    let handlers = routes(door).filter_map(|route| match route.handler {
        Handler::Row(_) => None,
        Handler::Post(handler) | Handler::Get(handler) => Some((route.path, handler())),
    });
    let router = handlers.fold(Router::new(), |router, (path, handler)| router.route(path, handler));
    router.fallback(move || async move { not_found(door) }).with_state(app)
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

/// The answer where a listener has no such path.
pub(crate) fn not_found(door: Listener) -> ApiError {
    let message = match door {
        Listener::Api => "there is nothing here; /docs says what there is",
        Listener::Metrics => "there is nothing here but /metrics, /health, /health/live and /health/ready",
    };
    ApiError::new(StatusCode::NOT_FOUND, message)
}

/// The answer where a path takes another method.
pub(crate) fn other_method(route: &Route) -> Response {
    let methods = route.handler.methods();
    let refusal = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {methods}; /docs says more"));
    let mut response = refusal.into_response();
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
            let found: Vec<&str> =
                ROUTES.iter().filter(|other| matches(other.path, &path)).map(|other| other.path).collect();
            assert_eq!(found, [route.path]);
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
