//! What others see of `serve`: a real Prometheus its metrics, a real browser its pages, a client of OpenAPI its description.

use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::Workspace;

use crate::{
    served::{Served, a_house, packaged},
    server::free_address,
    snapshot::assert_text,
};

/// Runs until the end of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_has_data_for_every_query() {
    let workspace = packaged(600);
    let served = Served::start(&workspace, "--drift-window 100");
    for sqft in 0..150 {
        let mut row = a_house();
        row["sqft"] = json!(900 + 20 * sqft);
        let reply = served.post("/predict", &row).1;
        if sqft % 10 == 0 {
            served.post("/feedback", &json!({"request_id": reply["request_id"], "actual": 200_000}));
        }
    }
    served.post("/predict", &json!({"sqft": 1}));
    served.post("/predict", &json!({"location": "Atlantis"}));
    served.post("/batch-predict", &json!([a_house(), a_house()]));

    let target = served.metrics.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: serve\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    workspace.write("prometheus.yml", config);
    let address = free_address();
    let mut command = Command::new("prometheus");
    command.current_dir(workspace.path("")).args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        &format!("--web.listen-address={address}"),
    ]);
    let _prometheus = Running(
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Debian's package prometheus is installed"),
    );
    let query = |text: &str| -> Vec<Value> {
        let url = format!("http://{address}/api/v1/query");
        let response = served.client.get(url).query(&[("query", text)]).send();
        let reply: Value = response.and_then(reqwest::blocking::Response::json).unwrap_or(Value::Null);
        assert_ne!(reply["status"], "error", "{text}: {reply}");
        reply["data"]["result"].as_array().cloned().unwrap_or_default()
    };
    let wait = |text: &str| {
        let started = Instant::now();
        loop {
            let found = query(text);
            if !found.is_empty() {
                return found;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{text} has no data");
            // a request a rate needs two scrapes for
            served.post("/predict", &a_house());
            sleep(Duration::from_millis(200));
        }
    };
    wait("up == 1");
    for text in [
        "sum(rate(http_requests_total{handler=\"/predict\"}[1m]))",
        "sum(rate(http_requests_total{status=~\"4..|4xx\"}[1m])) / sum(rate(http_requests_total[1m]))",
        "histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket{handler=\"/predict\"}[1m])) by (le))",
        "sum by (handler, method, status) (http_requests_total)",
        "http_requests_in_flight",
        "http_requests_shed_total",
        "histogram_quantile(0.5, sum(rate(hpp_inference_duration_seconds_bucket[1m])) by (le))",
        "rate(hpp_predictions_total{role=\"champion\"}[1m])",
        "sum(hpp_prediction_value_bucket) by (le)",
        "max(hpp_feature_drift_psi) by (feature)",
        "hpp_prediction_drift_psi",
        "hpp_drift_window_rows >= 90",
        "hpp_field_problems_total{problem=\"out_of_range\",feature=\"sqft\"} == 1",
        "hpp_field_problems_total{problem=\"unknown_level\",feature=\"location\"} == 1",
        "hpp_model_info{name=\"m\",role=\"champion\",algorithm=\"GradientBoosting\"} == 1",
        "time() - hpp_model_loaded_timestamp_seconds < 600",
        "hpp_model_reloads_total",
        "hpp_feedback_total == 15",
        "hpp_feedback_mae > 0",
        "hpp_feedback_bias",
        "hpp_feedback_mape > 0",
        "hpp_feedback_interval_coverage",
        "hpp_feedback_rows == 15",
        "hpp_shadow_absolute_difference_count",
        "hpp_prediction_log_dropped_total == 0",
        "process_resident_memory_bytes > 1000000",
        "rate(process_cpu_seconds_total[1m])",
        "process_open_fds > 3",
        "process_start_time_seconds > 1600000000",
    ] {
        wait(text);
    }
    // sizes ran from small to large: the last hundred are not what training saw
    let drift = &query("hpp_feature_drift_psi{feature=\"sqft\"}")[0]["value"][1];
    assert!(drift.as_str().unwrap().parse::<f64>().unwrap() > 0.25, "{drift}");
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checked = checked.expect("promtool comes with it");
    let text = served.client.get(&served.metrics).send().unwrap().text().unwrap();
    std::io::Write::write_all(&mut checked.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let reply = checked.wait_with_output().unwrap();
    assert!(reply.status.success(), "{}{}", String::from_utf8_lossy(&reply.stdout), String::from_utf8_lossy(&reply.stderr));
}

/// A page as a browser has it after its scripts ran.
fn rendered(workspace: &Workspace, url: &str) -> String {
    let profile = workspace.path("browser");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .output()
        .expect("Debian's package chromium is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_browser_draws_the_page_and_the_documentation() {
    let workspace = packaged(600);
    let served = Served::start(&workspace, "");
    let page = rendered(&workspace, &served.base);
    for expected in [
        "<title>m</title>",
        "predicts price · GradientBoosting, version",
        "<label for=\"field-0\">sqft</label>",
        "type=\"range\"",
        "<option value=\"Waterfront\"",
        "allowed 200 to 20,000; in training ",
        "<p class=\"price\">",
        "with 90 % coverage",
        "Contributions",
        "<th scope=\"row\">year built</th>",
        "<p>Predicts price with ",
        "<pre>process  --input raw.csv --output cleaned.csv",
        "Population stability index of the last 0 rows",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    assert!(!page.contains("class=\"fault\" role=\"alert\">"), "{page}");
    // nothing is fetched from elsewhere
    assert!(!page.contains("https://") && !page.contains("//cdn"), "{page}");
    let docs = rendered(&workspace, &format!("{}/docs", served.base));
    for expected in
        ["/batch-predict – predict many rows", "curl -s -X POST", "invalid values, each with the allowed values", "m API"]
    {
        assert!(docs.contains(expected), "{expected} is not in\n{docs}");
    }
    assert_eq!(served.metric("http_requests_total{handler=\"/predict\",method=\"POST\",status=\"2xx\"}"), 1.0);
    workspace.write("keys", "0123456789abcdef\n");
    let guarded = Served::start(&workspace, "--api-keys keys");
    let page = rendered(&workspace, &guarded.base);
    assert!(page.contains("<form id=\"key-form\">") && page.contains("<div id=\"columns\" hidden"), "{page}");
}

#[test]
fn the_description_of_the_api_is_that_of_the_model() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "");
    let api = served.get("/openapi.json").1;
    assert_text!(format!("{api:#}"));
    // every example is answered, every path is there
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            let path = path.replace("{name}", "m");
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            let status = match method.as_str() {
                "post" => served.post(&path, example).0,
                _ => served.client.get(format!("{}{path}", served.base)).send().unwrap().status().as_u16(),
            };
            // the example of a true value names no prediction
            assert_eq!(status, if path == "/feedback" { 404 } else { 200 }, "{method} {path}");
        }
    }
}
