//! How `serve` is run: keys, limits, the log, records, actual values, shutdown.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bundle,
    served::{Served, a_house, answer, packaged},
};

#[test]
fn keys_origins_and_headers() {
    let workspace = packaged(400);
    workspace.write("keys", "0123456789abcdef\nanother-long-key-1\n");
    let served = Served::start(&workspace, "--api-keys keys --allow-origin https://houses.example --rate-limit 5");
    let (status, reply) = served.post("/predict", &a_house());
    assert_eq!(
        (status, reply["error"].as_str().unwrap()),
        (401, "missing or invalid API key: send `x-api-key: KEY` or `Authorization: Bearer KEY`")
    );
    for open in ["/health", "/health/live", "/health/ready"] {
        assert_eq!(served.get(open).0, 200);
    }
    for closed in ["/model", "/openapi.json", "/metrics", "/v2/models/m"] {
        assert_eq!(served.get(closed).0, 401, "{closed}");
    }
    let ask = || served.request("/predict", "application/json", a_house().to_string());
    assert_eq!(answer(ask().header("x-api-key", "0123456789abcdeX")).0, 401);
    let response = ask()
        .header("authorization", "Bearer another-long-key-1")
        .header("origin", "https://houses.example")
        .send()
        .unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(header("access-control-allow-origin"), "https://houses.example");
    assert_eq!((header("x-content-type-options"), header("cache-control")), ("nosniff", "no-store"));
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!(header("x-request-id").len(), 32);
    let foreign =
        ask().header("x-api-key", "0123456789abcdef").header("origin", "https://elsewhere.example").send().unwrap();
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    let preflight = served
        .client
        .request(Method::OPTIONS, format!("{}/predict", served.base))
        .header("origin", "https://houses.example")
        .send()
        .unwrap();
    assert_eq!(
        (preflight.status().as_u16(), preflight.headers()["access-control-allow-methods"].to_str().unwrap()),
        (204, "GET, POST")
    );

    // five a second, and five at once
    let statuses: Vec<u16> = (0..20)
        .map(|_| ask().header("x-api-key", "0123456789abcdef").send().unwrap())
        .map(|response| {
            if response.status() == 429 {
                assert_eq!(response.headers()["retry-after"], "1");
            }
            response.status().as_u16()
        })
        .collect();
    assert!(statuses.contains(&429) && statuses.contains(&200), "{statuses:?}");
    // another caller has requests of his own
    assert_eq!(answer(ask().header("x-api-key", "another-long-key-1")).0, 200);
    assert!(served.metric("http_requests_shed_total{reason=\"rate_limit\"}") > 0.0);

    let by_variable =
        Served::of(&workspace, &format!("--model {}", bundle(&workspace)), &[("SERVE_API_KEY", "from-the-environment")]);
    assert_eq!(by_variable.get("/model").0, 401);
    assert_eq!(
        answer(by_variable.client.get(format!("{}/model", by_variable.base)).bearer_auth("from-the-environment")).0,
        200
    );
}

#[test]
fn requests_are_in_the_log_and_predictions_on_the_disk() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "--log-predictions kept");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ask = |id: &str| {
        let request = served.request("/predict", "application/json", a_house().to_string());
        answer(request.header("x-request-id", id.to_owned()).header("traceparent", trace)).1
    };
    let reply = ask("order-17");
    assert_eq!(reply["request_id"], "order-17");
    // an id that would break a line of the log is replaced
    assert_eq!(ask("a\"b").get("request_id").unwrap().as_str().unwrap().len(), 32);
    let price = reply["predicted_price"].as_f64().unwrap();
    let (status, joined) = served.post("/feedback", &json!({"request_id": "order-17", "actual": price + 1000.0}));
    assert_eq!((status, &joined["joined"]), (200, &json!(true)), "{joined}");
    assert_eq!(joined["error"], -1000.0);
    assert_eq!(served.metric("hpp_feedback_mae"), 1000.0);
    assert_eq!(served.metric("hpp_feedback_bias"), -1000.0);
    assert_eq!(served.metric("hpp_feedback_interval_coverage"), 1.0);
    assert_eq!(served.post("/feedback", &json!({"request_id": "long ago", "actual": 200_000})).0, 202);
    for (body, status) in
        [(json!({"request_id": "x"}), 422), (json!({"request_id": "x", "actual": "dear"}), 422), (json!([]), 422)]
    {
        assert_eq!(served.post("/feedback", &body).0, status);
    }
    let log_file = workspace.path("serve.log");
    let (status, said) = served.stop();
    assert!(status.success() && said.contains("all requests were completed"), "{status} {said}");

    let log = fs::read_to_string(log_file).unwrap();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect();
    let line = lines.iter().find(|line| line["request_id"] == "order-17").unwrap();
    assert_eq!(
        (&line["handler"], &line["status"], &line["trace_id"]),
        (&json!("/predict"), &json!(200), &json!("0af7651916cd43dd8448eb211c80319c"))
    );
    assert!(lines.iter().any(|line| line["event"] == "shutting_down" && line["message"] == "shutting down"));

    let file = fs::read_dir(workspace.path("kept")).unwrap().flatten().next().unwrap().path();
    let records: Vec<Value> =
        fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 4);
    assert_eq!((&records[0]["row"]["location"], &records[0]["prediction"]), (&json!("Suburb"), &reply["predicted_price"]));
    assert_eq!((&records[2]["request_id"], &records[2]["actual"]), (&json!("order-17"), &json!(price + 1000.0)));

    let forgetful = Served::start(&workspace, "");
    assert_eq!(forgetful.post("/feedback", &json!({"request_id": "order-17", "actual": 200_000})).0, 404);
}

#[test]
fn too_much_is_refused_and_the_probes_answer_all_the_while() {
    let workspace = packaged(400);
    let served =
        Served::start(&workspace, "--max-batches 1 --max-in-flight 6 --max-connections 40 --timeout 20 --log-requests none");
    let rows = format!("[{}]", vec![a_house().to_string(); 20_000].join(","));
    let started = Instant::now();
    let statuses: Vec<(u16, bool)> = thread::scope(|scope| {
        let batches: Vec<_> = (0..24)
            .map(|_| {
                scope.spawn(|| {
                    let response = served.request("/batch-predict", "application/json", rows.clone()).send().unwrap();
                    (response.status().as_u16(), response.headers().contains_key("retry-after"))
                })
            })
            .collect();
        while started.elapsed() < Duration::from_millis(300) {
            let asked = Instant::now();
            assert_eq!(served.get("/health/live").0, 200);
            assert!(asked.elapsed() < Duration::from_secs(5), "a probe took {:?}", asked.elapsed());
        }
        batches.into_iter().map(|batch| batch.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|(status, retry)| (*status == 200 && !retry) || (*status == 503 && *retry)), "{statuses:?}");
    assert!(
        statuses.iter().any(|(status, _)| *status == 503) && statuses.iter().any(|(status, _)| *status == 200),
        "{statuses:?}"
    );
    // at once it answers as before
    assert_eq!(served.post("/batch-predict", &json!([a_house()])).0, 200);

    let address = served.base.strip_prefix("http://").unwrap();
    let held: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut turned_away = 0;
    for mut connection in held {
        connection.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut reply = String::new();
        let _ = connection.read_to_string(&mut reply);
        if let Some(body) = reply.split("\r\n\r\n").nth(1) {
            assert!(reply.starts_with("HTTP/1.1 503 ") && serde_json::from_str::<Value>(body).is_ok(), "{reply}");
            turned_away += 1;
        }
    }
    assert!(turned_away > 0);
    assert_eq!(served.post("/predict", &a_house()).0, 200);
}

#[test]
fn requests_under_way_are_answered_before_the_end() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "");
    let address = served.base.strip_prefix("http://").unwrap().to_owned();
    let mut slow = TcpStream::connect(&address).unwrap();
    let body = a_house().to_string();
    write!(
        slow,
        "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    served.wait("the slow request", |served| served.metric("http_requests_unfinished") == 1.0);
    served.signal("TERM");
    // nothing new is taken, and it is no longer ready
    let metrics = served.metrics.replace("/metrics", "/health/ready");
    served.wait("unreadiness", |served| served.client.get(&metrics).send().is_ok_and(|response| response.status() == 503));
    slow.write_all(body.as_bytes()).unwrap();
    let mut reply = String::new();
    slow.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains("predicted_price"), "{reply}");
    let (status, said) = served.stop();
    assert!(status.success() && said.contains("all requests were completed"), "{status} {said}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let workspace = packaged(400);
    let model = bundle(&workspace);
    workspace.write("short", "key\n");
    for (flags, message) in [
        ("--coverage 1.5", "--coverage 1.5: is not a share above 0 and below 1"),
        ("--challenger x --challenger-share 2", "--challenger-share 2: is not a share from 0 to 1"),
        ("--metrics-listen here", "--metrics-listen here: write HOST:PORT or none: invalid socket address syntax"),
        ("--max-batches 0", "--max-batches 0: must be at least 1"),
        ("--max-batches 1001", "--max-batches 1001: must be at most 1000"),
        ("--max-body 2000000000", "--max-body 2000000000: must be at most 1 GiB; stream larger bodies"),
        ("--timeout 0", "--timeout 0: must be a number of seconds above 0 and at most 86400"),
        ("--rate-limit=-1", "--rate-limit -1: is not a number above 0"),
        ("--drift-window 5", "--drift-window 5: must be at least 100 rows"),
        ("--api-keys short", "short:1: a key of 3 characters is too short; use at least 16"),
        (
            "--allow-origin *",
            "--allow-origin *: write a scheme and a host, such as https://houses.example, and nothing after it",
        ),
    ] {
        let said = workspace.fails(2, &format!("serve --model {model} --listen 127.0.0.1:0 {flags}"));
        assert_eq!(said, format!("error: {message}\n"));
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = workspace.fails(2, &format!("serve --model {model} --listen {address} --metrics-listen none"));
    assert_eq!(
        said,
        format!("error: --listen {address}: cannot listen on this address: Address already in use (os error 98)\n")
    );
    assert!(workspace.fails(2, "serve").contains("--model <MODEL>"));
}

#[test]
fn long_answers_wait_on_the_disk_and_slow_readers_get_them_whole() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "--log-requests none");
    let row = "900,2,1.5,Rural,1956,Good\n";
    let rows = 150_000;
    let table = format!("sqft,bedrooms,bathrooms,location,year_built,condition\n{}", row.repeat(rows));
    // everything is sent before anything is read
    let address = served.base.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "POST /batch-predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n", table.len()).unwrap();
    connection.write_all(table.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    let mut reply = String::new();
    connection.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.len() > 9 << 20, "{} bytes", reply.len());
    let (status, reply) = served.text("/batch-predict", "text/csv", table.clone());
    assert_eq!((status, reply.matches("900,2,1.5,Rural,1956,Good,").count(), reply.lines().count()), (200, rows, rows + 1));

    // where there is no disk, it is said so; short answers need none
    let diskless = Served::of(&workspace, &format!("--model {}", bundle(&workspace)), &[("TMPDIR", "/nowhere")]);
    let (status, answer) = diskless.text("/batch-predict", "text/csv", table);
    assert_eq!(status, 507);
    assert!(answer.contains("the response is too long to store; send fewer rows at a time"), "{answer}");
    assert_eq!(diskless.text("/batch-predict", "text/csv", format!("sqft,location\n{}", "900,Rural\n".repeat(50))).0, 200);
}

#[test]
fn a_container_can_ask_whether_the_server_is_ready_and_whether_there_is_a_model() {
    let workspace = packaged(300);
    let model = bundle(&workspace);
    let (folder, name) = (model.clone(), model.rsplit_once('-').unwrap().1);
    let said = workspace.ok(&format!("serve check --model {model}"));
    assert_eq!(said, format!("check     valid: m {name} of {folder} can be served\n"));
    let said = workspace.fails(1, "serve check --model models:/m@champion --mlflow-tracking-uri sqlite:///mlflow.db");
    assert!(
        said.contains("m: no version has the alias `champion`") || said.contains("has no registered model \"m\""),
        "{said}"
    );
    workspace.write(&format!("{model}/metrics.json"), "{}");
    let said = workspace.fails(1, &format!("serve check --model {model}"));
    assert!(said.contains("is not a valid bundle: metrics.json has changed"), "{said}");

    // predictions need a key, and health does not
    let workspace = packaged(300);
    workspace.write("keys", "0123456789abcdef\n");
    let served = Served::start(&workspace, "--api-keys keys");
    let address = served.base.trim_start_matches("http://").to_owned();
    let asked = format!("serve healthcheck --address {address}");
    assert_eq!(workspace.ok(&asked), format!("healthcheck ready: http://{address}/health/ready\n"));
    served.stop();
    let said = workspace.fails(1, &asked);
    assert!(said.contains(&format!("http://{address}/health/ready: does not respond: ")), "{said}");
    assert!(workspace.fails(2, &format!("{asked} --timeout=-1")).contains("--timeout -1: must be a number of seconds"));
}
