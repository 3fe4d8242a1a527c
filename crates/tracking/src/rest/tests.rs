//! What goes over the wire, seen by a server of a few lines.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use artifact::{RunIdentity, RunRecord};
use serde_json::{Value, json};

use crate::{
    entities::{
        run::{Metric, Run},
        store::RunStore,
    },
    error::TrackingError,
    rest::{
        api,
        connection::{Request, ServerConnection},
        http_config::{HttpConfig, Login},
        responses::Experiment,
        store::RestStore,
    },
};

/// A request as it came: head and body.
type Seen = (String, String);

/// Answers one connection after the other with these answers, the last one for ever; an empty one closes the connection.
fn server(answers: Vec<String>) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            if seen.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
            let answer = answers.get(number).unwrap_or(&answers[answers.len() - 1]);
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (base, requests)
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn quick() -> HttpConfig {
    HttpConfig { backoff_factor: 0.0, backoff_jitter: 0.0, max_retries: 3, ..HttpConfig::default() }
}

fn connect(base: &str, settings: &HttpConfig) -> ServerConnection {
    ServerConnection::new(base, settings).unwrap()
}

fn ask(connection: &ServerConnection) -> Result<Experiment, TrackingError> {
    connection.call(&Request::post("asking", "x", &json!({"a": 1})))
}

#[test]
fn what_may_pass_is_asked_again_and_what_may_not_is_not() {
    let sound = answer(200, "", "{\"experiment_id\": \"7\"}");
    for (first, attempts) in [
        (answer(503, "", ""), 2),
        (answer(500, "", "<html>"), 2),
        (answer(429, "retry-after: 0\r\n", ""), 2),
        (String::new(), 2),
        (answer(400, "", "{\"error_code\": \"INVALID_PARAMETER_VALUE\"}"), 1),
        (answer(401, "", "You are not authenticated"), 1),
        (answer(503, "", "{\"detail\": \"Artifact serving is disabled\"}"), 1),
        (answer(200, "", "<html>log in</html>"), 1),
    ] {
        let (base, requests) = server(vec![first.clone(), sound.clone()]);
        let found = ask(&connect(&base, &quick()));
        assert_eq!(requests.try_iter().count(), attempts, "{first:?}");
        assert_eq!(found.is_ok(), attempts == 2, "{first:?}: {found:?}");
    }
    let (base, requests) = server(vec![answer(502, "", "")]);
    let error = ask(&connect(&base, &quick())).unwrap_err().to_string();
    assert_eq!((requests.try_iter().count(), error), (4, format!("{base}: asking: the server returned 502")));
}

#[test]
fn a_server_is_waited_for_as_it_asks_but_not_for_ever() {
    let sound = answer(200, "", "{}");
    let (base, _requests) = server(vec![answer(429, "retry-after: 1\r\n", ""), sound.clone()]);
    let started = Instant::now();
    ask(&connect(&base, &quick())).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    let (base, requests) = server(vec![answer(503, "retry-after: 3600\r\n", ""), sound.clone()]);
    let error = ask(&connect(&base, &quick())).unwrap_err().to_string();
    assert_eq!(error, format!("{base}: asking: the server returned 503; the server asks for a retry in 3600 s"));
    assert_eq!(requests.try_iter().count(), 1);
    let (base, _requests) = server(vec![answer(503, "retry-after: 3600\r\n", ""), sound]);
    ask(&connect(&base, &HttpConfig { respect_retry_after: false, ..quick() })).unwrap();
}

#[test]
fn a_server_that_was_never_there_is_given_up_soon() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let connection = connect(&format!("http://{free}"), &HttpConfig { max_retries: 7, ..HttpConfig::default() });
    let started = Instant::now();
    let error = ask(&connection).unwrap_err();
    // a pause of none and one of a second
    assert!((1..10).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert!(error.is_server_failure() && error.to_string().contains("Connection refused"), "{error}");
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_so_long() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let settings = HttpConfig { timeout: Duration::from_millis(200), max_retries: 1, ..quick() };
    let error = ask(&connect(&base, &settings)).unwrap_err().to_string();
    assert_eq!(error, format!("{base}: asking: no response within 0.2 s. Check the address, and that the server runs"));
}

#[test]
fn who_asks_is_said_as_the_official_client_says_it() {
    let head = |base: &dyn Fn(&str) -> String, settings: HttpConfig| {
        let (address, requests) = server(vec![answer(200, "", "{}")]);
        ask(&connect(&base(&address), &settings)).unwrap();
        requests.recv().unwrap().0.to_lowercase()
    };
    let plain = |base: &str| base.to_owned();
    let found = head(&plain, quick());
    assert!(found.starts_with("post /api/2.0/mlflow/x http/1.1\r\n"), "{found}");
    assert!(found.contains("content-type: application/json\r\n") && found.contains("user-agent: house-price-predictor/"));
    // a server takes those for foreign web pages, and does not unpack
    assert!(!found.contains("origin:") && !found.contains("content-encoding:") && !found.contains("authorization:"));
    let basic = HttpConfig { login: Login::Basic("ada".into(), "secret".into()), ..quick() };
    assert!(head(&plain, basic).contains("authorization: basic ywrhonnly3jlda==\r\n"));
    let bearer = HttpConfig { login: Login::Bearer("t0ken".into()), ..quick() };
    assert!(head(&plain, bearer).contains("authorization: bearer t0ken\r\n"));
    let within = |base: &str| base.replace("http://", "http://ada:se%63ret@");
    assert!(head(&within, quick()).contains("authorization: basic ywrhonnly3jlda==\r\n"));
    let workspace = HttpConfig { workspace: Some("team".into()), ..quick() };
    assert!(head(&plain, workspace).contains("x-mlflow-workspace: team\r\n"));
    let prefixed = |base: &str| format!("{base}/ml/");
    assert!(head(&prefixed, quick()).starts_with("post /ml/api/2.0/mlflow/x http/1.1\r\n"));
}

#[test]
fn what_is_logged_keeps_to_the_limits_and_to_the_types() {
    let (base, requests) = server(vec![answer(200, "", "{}")]);
    let metric = |step: i64| Metric {
        key: "m".into(),
        value: if step == 0 { f64::NAN } else { 0.5 },
        timestamp: 1,
        step,
        model_id: (step == 1).then(|| "m-ours".into()),
        dataset: (step == 1).then(|| ("train".into(), "abc".into())),
    };
    let metrics: Vec<Metric> = (0..2500).map(metric).collect();
    let params: Vec<(String, String)> = (0..150).map(|n| (format!("p{n:03}"), n.to_string())).collect();
    let tags = [("t".to_owned(), "v".to_owned())].into();
    let ids = [("m-ours".to_owned(), "m-theirs".to_owned())].into();
    api::log_batch(&connect(&base, &quick()), "run", &params, &tags, &metrics, &ids).unwrap();
    let bodies: Vec<Value> = requests.try_iter().map(|(_, body)| serde_json::from_str(&body).unwrap()).collect();
    let sizes: Vec<[usize; 3]> =
        bodies.iter().map(|body| ["params", "tags", "metrics"].map(|kind| body[kind].as_array().unwrap().len())).collect();
    assert_eq!(sizes, [[100, 1, 899], [50, 0, 950], [0, 0, 651]]);
    let first = &bodies[0]["metrics"];
    assert_eq!(first[0], json!({"key": "m", "value": "NaN", "timestamp": 1, "step": 0}));
    let linked = json!({"key": "m", "value": 0.5, "timestamp": 1, "step": 1, "model_id": "m-theirs", "dataset_name": "train",
        "dataset_digest": "abc"});
    assert_eq!(first[1], linked);
}

/// A run of ours, which is looked for in the experiment of [`experiment_answer`].
fn our_run() -> Run {
    Run::from_record(&RunRecord {
        identity: RunIdentity { run_id: "ours".into(), ..RunIdentity::default() },
        name: "houses".into(),
        ..RunRecord::default()
    })
}

/// What the server answers when it is asked for an experiment.
fn experiment_answer() -> String {
    answer(200, "", "{\"experiment\": {\"experiment_id\": \"7\", \"lifecycle_stage\": \"active\"}}")
}

#[test]
fn a_run_is_finished_if_the_server_says_so_of_one_that_has_its_id() {
    let (run, experiment) = (our_run(), experiment_answer());
    for (statuses, expected) in [(vec![], false), (vec!["RUNNING"], false), (vec!["KILLED", "FINISHED"], true)] {
        let runs: Vec<Value> =
            statuses.iter().map(|status| json!({"info": {"run_id": "theirs", "status": status}})).collect();
        let (base, requests) = server(vec![experiment.clone(), answer(200, "", &json!({ "runs": runs }).to_string())]);
        let store = RestStore::new(&base, None, &quick()).unwrap();
        assert_eq!(store.is_finished(&run).unwrap(), expected, "{statuses:?}");
        let body: Value = serde_json::from_str(&requests.try_iter().last().unwrap().1).unwrap();
        assert_eq!((&body["experiment_ids"], &body["filter"]), (&json!(["7"]), &json!("tags.`client.run_id` = 'ours'")));
    }
}

#[test]
fn a_run_that_was_begun_before_is_gone_on_with_and_not_made_again() {
    let (run, experiment) = (our_run(), experiment_answer());
    for (status, updates) in [("RUNNING", 0), ("KILLED", 1), ("FINISHED", 0)] {
        let found = json!({"info": {"run_id": "theirs", "experiment_id": "7", "status": status}});
        let listed = answer(200, "", &json!({"runs": [found]}).to_string());
        let read = answer(200, "", &json!({"run": found}).to_string());
        let (base, requests) = server(vec![experiment.clone(), listed, read, answer(200, "", "{}")]);
        let store = RestStore::new(&base, None, &quick()).unwrap();
        assert_eq!(store.resume(&run).unwrap().run_id, "theirs");
        let seen: Vec<Seen> = requests.try_iter().collect();
        assert!(seen.iter().all(|(head, _)| !head.contains("runs/create")), "{status}: {seen:?}");
        let updated: Vec<&Seen> = seen.iter().filter(|(head, _)| head.contains("runs/update")).collect();
        assert_eq!(updated.len(), updates, "{status}: {seen:?}");
        assert!(updated.iter().all(|(_, body)| body.contains("RUNNING")), "{seen:?}");
    }
}
