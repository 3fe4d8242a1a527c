//! Which route of which listener answers whom: every route, every method, with no key, a wrong key and the right one.

use serde_json::json;

use crate::{
    served::{Served, a_house, packaged},
    wire::{Answer, exchange, host},
};

const KEY: &str = "0123456789abcdef";
const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"];

/// Who is answered by a route.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    /// Everybody, on both listeners.
    Probe,
    /// Everybody, on the API's listener.
    Open,
    /// Who has the key, on the API's listener; everybody on the metrics listener.
    Metrics,
    /// Who has the key, on the API's listener.
    Guarded,
}

/// Method, path, who is answered, the body that is sent.
fn routes(version: &str) -> Vec<(&'static str, String, Access, String)> {
    let house = a_house().to_string();
    let infer = json!({"inputs": [{"name": "sqft", "shape": [1], "datatype": "FP64", "data": [900]}]}).to_string();
    let feedback = json!({"request_id": "none", "actual": 200_000.0}).to_string();
    let get = |path: &str, access| ("GET", path.to_owned(), access, String::new());
    let post = |path: &str, body: &str| ("POST", path.to_owned(), Access::Guarded, body.to_owned());
    let of_version = |rest: &str| format!("/v2/models/m/versions/{version}{rest}");
    vec![
        post("/predict", &house),
        post("/explain", &house),
        post("/batch-predict", &format!("[{house}]")),
        post("/feedback", &feedback),
        post("/v2/models/m/infer", &infer),
        post(&of_version("/infer"), &infer),
        get("/health", Access::Probe),
        get("/health/live", Access::Probe),
        get("/health/ready", Access::Probe),
        get("/v2/health/live", Access::Probe),
        get("/v2/health/ready", Access::Probe),
        get("/metrics", Access::Metrics),
        get("/model", Access::Guarded),
        get("/openapi.json", Access::Guarded),
        get("/v2", Access::Guarded),
        get("/v2/models/m", Access::Guarded),
        get("/v2/models/m/ready", Access::Guarded),
        get(&of_version(""), Access::Guarded),
        get(&of_version("/ready"), Access::Guarded),
        get("/", Access::Open),
        get("/docs", Access::Open),
        get("/assets/page.css", Access::Open),
        get("/assets/page.js", Access::Open),
        get("/assets/docs.js", Access::Open),
    ]
}

fn ask(address: &str, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         {headers}\r\n{body}"
    );
    exchange(address, request.as_bytes())
}

#[test]
fn no_route_answers_where_it_must_not() {
    let workspace = packaged(400);
    let flags = "--allow-origin https://houses.example --log-requests none";
    let flags = format!("--model {} {flags}", crate::bundle(&workspace));
    let served = Served::of(&workspace, &flags, &[("SERVE_API_KEY", KEY)]);
    let version = crate::bundle(&workspace).rsplit_once('-').unwrap().1.to_owned();
    let (api, metrics) = (host(&served.base).to_owned(), host(&served.metrics).to_owned());
    let keys = [
        ("no key", String::new(), false),
        ("a wrong key", "x-api-key: 0123456789abcdeX\r\n".to_owned(), false),
        ("another wrong key", format!("authorization: Basic {KEY}\r\n"), false),
        ("the key", format!("x-api-key: {KEY}\r\n"), true),
        ("the key as a bearer's", format!("authorization: Bearer {KEY}\r\n"), true),
    ];
    for (right_method, path, access, body) in routes(&version) {
        for method in METHODS {
            let right = method == right_method || (method == "HEAD" && right_method == "GET");
            // the true value that is sent belongs to no prediction
            let done = if path == "/feedback" { 404 } else { 200 };
            for (who, key, known) in &keys {
                // CONNECT names no path
                let connect = method == "CONNECT";
                for (listener, address) in [("API", &api), ("metrics", &metrics)] {
                    let here = listener == "API" || matches!(access, Access::Probe | Access::Metrics);
                    let asks_key = listener == "API" && matches!(access, Access::Guarded | Access::Metrics);
                    let expected = match () {
                        () if !here => 404,
                        () if asks_key && !known => 401,
                        () if right => done,
                        () => 405,
                    };
                    let answer = ask(address, method, &path, key, &body);
                    let what = format!("{method} {path} of the {listener} listener with {who}");
                    // a target of CONNECT is a host: hyper refuses a path there
                    let expected = if connect {
                        [400, 404, expected].into_iter().find(|s| *s == answer.status)
                    } else {
                        Some(expected)
                    };
                    assert_eq!(Some(answer.status), expected, "{what}: {}", answer.text());
                    assert!(!connect || answer.status != 200, "{what}");
                    let predicted =
                        ["predicted_price", "\"prediction\"", "outputs"].iter().any(|word| answer.text().contains(word));
                    let predicted = predicted && right_method == "POST";
                    assert!(
                        !predicted || (answer.status == 200 && listener == "API" && *known),
                        "{what}: {}",
                        answer.text()
                    );
                    if answer.status == 405 {
                        let allow = if right_method == "GET" { "allow: get, head" } else { "allow: post" };
                        assert!(answer.head.contains(allow), "{what}: {}", answer.head);
                    }
                }
            }
        }
    }
}

#[test]
fn other_spellings_of_a_path_open_nothing() {
    let workspace = packaged(400);
    let flags = "--allow-origin https://houses.example --log-requests none";
    let flags = format!("--model {} {flags}", crate::bundle(&workspace));
    let served = Served::of(&workspace, &flags, &[("SERVE_API_KEY", KEY)]);
    let (api, metrics) = (host(&served.base).to_owned(), host(&served.metrics).to_owned());
    let (house, key) = (a_house().to_string(), format!("x-api-key: {KEY}\r\n"));
    for target in [
        "//predict",
        "/predict/",
        "/Predict",
        "/PREDICT",
        "/%70redict",
        "/%2fpredict",
        "/predict%2f",
        "/predict%00",
        "/predict;x",
        "/./predict",
        "/health/../predict",
        "/metrics/predict",
        "/metrics//predict",
        "/v2/models/m/infer/",
        "/assets/../model",
        "*",
        "http://x//predict",
    ] {
        for (address, key) in [(&api, ""), (&api, key.as_str()), (&metrics, ""), (&metrics, key.as_str())] {
            for method in ["POST", "GET", "OPTIONS"] {
                let answer = ask(address, method, target, key, &house);
                assert!([400, 404].contains(&answer.status), "{method} {target}: {} {}", answer.status, answer.text());
            }
        }
    }
    // these are the same path
    for target in ["/predict?x=1", "/predict?", "http://x/predict", "http://other.example/predict", "/predict#x"] {
        assert_eq!(ask(&api, "POST", target, "", &house).status, 401, "{target}");
        assert_eq!(ask(&api, "POST", target, &key, &house).status, 200, "{target}");
        assert_eq!(ask(&metrics, "POST", target, &key, &house).status, 404, "{target}");
    }
    // a key among others, twice, or with blanks is no better than its first value
    for (headers, status) in [
        (format!("x-api-key: wrong-key-0123456\r\nx-api-key: {KEY}\r\n"), 401),
        (format!("x-api-key: wrong-key-0123456\r\nauthorization: Bearer {KEY}\r\n"), 401),
        (format!("x-api-key:\r\nauthorization: Bearer {KEY}\r\n"), 401),
        (format!("x-api-key: {KEY}{KEY}\r\n"), 401),
        (format!("x-api-key:   {KEY}  \r\n"), 200),
    ] {
        assert_eq!(ask(&api, "POST", "/predict", &headers, &house).status, status, "{headers}");
    }
    // a browser asks without a key whether a page may call the API: about routes that there are, and for origins that may
    let preflight =
        |address: &str, path: &str, origin: &str| ask(address, "OPTIONS", path, &format!("origin: {origin}\r\n"), "");
    let allowed = preflight(&api, "/predict", "https://houses.example");
    assert_eq!(allowed.status, 204);
    assert!(allowed.head.contains("access-control-allow-origin: https://houses.example"), "{}", allowed.head);
    assert_eq!(preflight(&api, "/nowhere", "https://houses.example").status, 404);
    for (address, path, status) in
        [(&api, "/predict", 401), (&api, "/health", 405), (&metrics, "/predict", 404), (&metrics, "/metrics", 405)]
    {
        let origin = if address == &api { "https://elsewhere.example" } else { "https://houses.example" };
        let answer = preflight(address, path, origin);
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
}
