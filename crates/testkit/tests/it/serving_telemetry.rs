//! What `serve` keeps of its predictions: true values by caller, metrics that are known, records on the disk and those that are lost.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::{Value, json};
use testkit::Workspace;

use crate::served::{Served, a_house, answer, packaged};

const OLD_KEY: &str = "old-key-of-the-shop-1";
const NEW_KEY: &str = "new-key-of-the-shop-2";
const OTHER_KEY: &str = "another-caller-key";

/// Gauges whose value takes predictions or true values.
const LATE: [&str; 6] = [
    "hpp_feature_drift_psi",
    "hpp_prediction_drift_psi",
    "hpp_feedback_mae",
    "hpp_feedback_bias",
    "hpp_feedback_mape",
    "hpp_feedback_interval_coverage",
];

/// A prediction under a request id.
fn predict(served: &Served, key: &str, id: &str, row: &Value) -> (u16, Value) {
    let request = served.request("/predict", "application/json", row.to_string());
    answer(request.header("x-api-key", key).header("x-request-id", id))
}

/// The true value of a prediction.
fn send_feedback(served: &Served, key: &str, id: &str, actual: f64) -> (u16, Value) {
    let body = json!({"request_id": id, "actual": actual}).to_string();
    answer(served.request("/feedback", "application/json", body).header("x-api-key", key))
}

/// The records of a prediction log; every line is whole.
fn records(folder: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let text: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// The names of all series of metrics, without labels; no value is `NaN`.
fn series(text: &str) -> Vec<&str> {
    assert!(!text.contains("NaN") && !text.contains(" inf"), "{text}");
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split([' ', '{']).next()).collect()
}

#[test]
fn a_prediction_has_one_true_value_and_one_caller() {
    let workspace = packaged(400);
    workspace.write("keys", format!("# the shop changes its key\nshop {OLD_KEY}\nshop {NEW_KEY}\n\n{OTHER_KEY}\n"));
    let served = Served::start(&workspace, "--api-keys keys --log-predictions kept");
    let price = predict(&served, OLD_KEY, "order-1", &a_house()).1["predicted_price"].as_f64().unwrap();
    let (status, joined) = send_feedback(&served, NEW_KEY, "order-1", price + 1000.0);
    assert_eq!((status, &joined["joined"], &joined["duplicate"]), (200, &json!(true), &json!(false)), "{joined}");
    for key in [OLD_KEY, NEW_KEY, OLD_KEY, NEW_KEY, NEW_KEY] {
        let (status, again) = send_feedback(&served, key, "order-1", price + 1000.0);
        assert_eq!((status, &again["joined"], &again["duplicate"]), (200, &json!(true), &json!(true)), "{again}");
        assert_eq!((&again["prediction"], &again["error"]), (&joined["prediction"], &joined["error"]));
        // a client asks once more under the same id
        predict(&served, key, "order-1", &a_house());
    }
    let (status, other) = send_feedback(&served, OLD_KEY, "order-1", 250_000.0);
    let expected =
        format!("the request id \"order-1\" already has the actual value {}; 250000 was not recorded", price + 1000.0);
    assert_eq!((status, &other["error"]), (409, &json!(expected)));
    assert_eq!((served.metric("hpp_feedback_total"), served.metric("hpp_feedback_rows")), (1.0, 1.0));
    assert_eq!(served.metric("hpp_feedback_bias"), -1000.0);

    // another caller has other ids, though they look the same; with a prediction log an unknown one is recorded once
    let (status, unknown) = send_feedback(&served, OTHER_KEY, "order-1", 300_000.0);
    assert_eq!((status, &unknown["joined"], &unknown["prediction"]), (202, &json!(false), &Value::Null));
    assert_eq!(send_feedback(&served, OTHER_KEY, "order-1", 300_000.0).1["duplicate"], true);
    assert_eq!(send_feedback(&served, OTHER_KEY, "order-1", 300_001.0).0, 409);
    predict(&served, OTHER_KEY, "order-2", &a_house());
    assert_eq!(send_feedback(&served, OTHER_KEY, "order-2", 200_000.0).0, 200);
    assert_eq!(served.metric("hpp_feedback_total"), 2.0);
    let log = workspace.path("serve.log");
    assert!(served.stop().0.success());

    let records = records(&workspace.path("kept"));
    let reply: Vec<(&Value, &Value)> =
        records.iter().filter(|record| record["actual"].is_number()).map(|r| (&r["caller"], &r["actual"])).collect();
    let actual = json!(price + 1000.0);
    let (shop, nameless) = (json!("shop"), json!("key-3"));
    assert_eq!(reply, [(&shop, &actual), (&nameless, &json!(300_000.0)), (&nameless, &json!(200_000.0))]);
    assert_eq!(records.iter().filter(|record| record["row"].is_object() && record["caller"] == "shop").count(), 6);
    for text in [fs::read_to_string(log).unwrap(), json!(records).to_string()] {
        assert!([OLD_KEY, NEW_KEY, OTHER_KEY].iter().all(|key| !text.contains(key)), "{text}");
    }
}

#[test]
fn a_caller_is_a_name_and_not_a_key() {
    let workspace = packaged(300);
    workspace.write("keys", format!("shop {OLD_KEY}\nshop {NEW_KEY}\n{OTHER_KEY}\n"));
    let served = Served::start(&workspace, "--api-keys keys --rate-limit 3");
    // a second key brings no more requests
    let statuses: Vec<u16> =
        [OLD_KEY, NEW_KEY].repeat(4).iter().map(|key| predict(&served, key, "order-1", &a_house()).0).collect();
    assert_eq!(statuses[..3], [200; 3]);
    assert!(statuses[3..].iter().filter(|status| **status == 429).count() >= 4, "{statuses:?}");
    assert_eq!(predict(&served, OTHER_KEY, "order-1", &a_house()).0, 200);
    for (text, message) in [
        (format!("shop {OLD_KEY}\nbank {OLD_KEY}\n"), "keys:2: repeats the key of line 1; remove one of the two lines"),
        (format!("shop {OLD_KEY} {NEW_KEY}\n"), "keys:1: has more than a name and a key; write NAME KEY, or only the key"),
        (format!("key-2 {OLD_KEY}\n"), "keys:1: names such as key-1 are reserved for keys without a name; choose another"),
    ] {
        workspace.write("keys", text);
        let model = crate::bundle(&workspace);
        let said = workspace.fails(2, &format!("serve --model {model} --listen 127.0.0.1:0 --api-keys keys"));
        assert_eq!(said, format!("error: {message}\n"));
    }

    // without keys all callers are one; without a prediction log an unknown id is no one's
    let open = Served::start(&workspace, "");
    assert_eq!(predict(&open, OLD_KEY, "order-1", &a_house()).0, 200);
    assert_eq!(send_feedback(&open, NEW_KEY, "order-1", 200_000.0).0, 200);
    assert_eq!(send_feedback(&open, OTHER_KEY, "order-1", 200_000.0).1["duplicate"], true);
    let (status, unknown) = send_feedback(&open, OLD_KEY, "order-9", 200_000.0);
    assert_eq!((status, &unknown["error"]), (404, &json!("no prediction is known for the request id \"order-9\"")));

    // a true value is a number that the target's column takes
    for (actual, message) in [
        ("9999.99", "actual: 9999.99 is below the minimum 10000"),
        ("-0.0", "actual: -0 is below the minimum 10000"),
        ("3e7", "actual: 30000000 is above the maximum 20000000"),
    ] {
        let body = format!("{{\"request_id\": \"order-2\", \"actual\": {actual}}}");
        let (status, reply) = answer(open.request("/feedback", "application/json", body));
        assert_eq!((status, reply["error"].as_str().unwrap()), (422, message));
        assert_eq!(reply["detail"][0]["loc"], json!(["body", "actual"]));
        assert_eq!(reply["detail"][0]["allowed"], json!({"min": 10_000.0, "max": 20_000_000.0}));
    }
    for (body, status) in [
        (r#"{"request_id": "order-2", "actual": 1e308}"#, 422),
        (r#"{"request_id": "order-2", "actual": 1e999}"#, 400),
        (r#"{"request_id": "order-2", "actual": NaN}"#, 400),
        (r#"{"request_id": "order-2", "actual": null}"#, 422),
        (r#"{"request_id": "order-2", "actual": "200000"}"#, 422),
        (r#"{"request_id": "order-2", "actual": 200000, "actual": 300000}"#, 422),
        (r#"{"request_id": "order-2", "request_id": "order-1", "actual": 200000}"#, 422),
        (r#"{"request_id": "order-2", "actual": 200000, "weight": 2}"#, 422),
    ] {
        let (found, reply) = answer(open.request("/feedback", "application/json", body));
        assert_eq!(found, status, "{body}: {reply}");
    }
    let long = json!({"request_id": "x".repeat(129), "actual": 200_000});
    let (status, reply) = open.post("/feedback", &long);
    assert_eq!((status, &reply["error"]), (422, &json!("request_id: has 129 bytes; request ids have at most 128")));
    assert_eq!(open.metric("hpp_feedback_total"), 1.0);
}

#[test]
fn a_prediction_is_joined_after_the_model_was_replaced() {
    let workspace = packaged(300);
    let model = crate::bundle(&workspace);
    let point = |to: &str| {
        std::os::unix::fs::symlink(workspace.path(to), workspace.path("new-link")).unwrap();
        fs::rename(workspace.path("new-link"), workspace.path("live")).unwrap();
    };
    point(&model);
    let served = Served::of(&workspace, "--model live", &[]);
    let price = predict(&served, "", "order-1", &a_house()).1["predicted_price"].as_f64().unwrap();
    point(&format!("{model}.tar.gz"));
    served.signal("HUP");
    served.wait("another model", |served| served.metric("hpp_model_reloads_total{reason=\"loaded\"}") == 1.0);
    let (status, joined) = send_feedback(&served, "", "order-1", price - 500.0);
    assert_eq!((status, &joined["prediction"], &joined["error"]), (200, &json!(price), &json!(500.0)));
    assert_eq!(send_feedback(&served, "", "order-1", price - 500.0).1["duplicate"], true);
}

#[test]
fn a_gauge_has_no_series_until_its_value_is_known() {
    let workspace = packaged(400);
    let served = Served::start(&workspace, "--drift-window 100");
    let text = served.scrape();
    let names = series(&text);
    for late in LATE {
        assert!(!names.contains(&late), "{late} in\n{text}");
    }
    for known in [
        "hpp_drift_window_rows",
        "hpp_feedback_rows",
        "hpp_feedback_total",
        "hpp_prediction_log_dropped_total",
        "hpp_model_info",
        "hpp_model_loaded_timestamp_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
    ] {
        assert!(names.contains(&known), "no {known} in\n{text}");
    }
    let drift = served.get("/model").1["drift"].clone();
    assert_eq!((&drift["rows"], &drift["prediction"], &drift["columns"]["sqft"]), (&json!(0), &Value::Null, &Value::Null));

    // the index of a few rows is chance
    let ask = |count: usize| (0..count).for_each(|_| assert_eq!(served.post("/predict", &a_house()).0, 200));
    ask(89);
    assert!(!series(&served.scrape()).iter().any(|name| name.ends_with("_drift_psi")));
    ask(1);
    assert!(served.metric("hpp_feature_drift_psi{feature=\"sqft\"}") > 0.25);
    assert!(served.metric("hpp_prediction_drift_psi") > 0.25);
    assert!(served.get("/model").1["drift"]["prediction"].is_number());
    // and known it stays
    ask(60);
    assert!(served.metric("hpp_prediction_drift_psi") > 0.25);
    predict(&served, "", "order-1", &a_house());
    assert_eq!(send_feedback(&served, "", "order-1", 200_000.0).0, 200);
    let text = served.scrape();
    let names = series(&text);
    for late in LATE {
        assert!(names.contains(&late), "no {late} in\n{text}");
    }

    // a registered model of a program that kept no reference
    let uri = "--mlflow-tracking-uri sqlite:///mlflow.db";
    workspace.ok(&format!("train --config m.yaml --data featured.csv --models-dir models --register --force {uri}"));
    let found = Command::new("find").args(["mlruns", "-name", "reference.json"]).current_dir(workspace.path("")).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    assert!(!found.is_empty());
    found.lines().for_each(|file| fs::remove_file(workspace.path(file)).unwrap());
    let without = Served::of(&workspace, &format!("--model models:/m/1 {uri}"), &[]);
    (0..100).for_each(|_| assert_eq!(without.post("/predict", &a_house()).0, 200));
    let text = without.scrape();
    assert!(!series(&text).iter().any(|name| name.contains("drift")), "{text}");
    assert_eq!(without.get("/model").1["drift"], Value::Null);
}

/// Sends predictions from two connections.
fn send(served: &Served, count: usize) {
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..count / 2).for_each(|_| assert_eq!(served.post("/predict", &a_house()).0, 200)));
        }
    });
}

/// Waits until every record is on the disk or counted as lost; returns how many are lost.
fn lost_of(served: &Served, folder: &Path, sent: usize) -> usize {
    let lost = |served: &Served| served.metric("hpp_prediction_log_dropped_total") as usize;
    served.wait("the end of writing", |served| {
        let lost = lost(served);
        let kept = fs::read_dir(folder).unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
        lost + kept.map(|text| text.matches('\n').count()).sum::<usize>() >= sent
    });
    assert_eq!(records(folder).len() + lost(served), sent);
    lost(served)
}

/// Checks that the log ends with how many records were written and lost.
fn check_end(workspace: &Workspace, served: Served, folder: &Path, lost: usize) {
    assert!(served.stop().0.success());
    let log = fs::read_to_string(workspace.path("serve.log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let end: Vec<Value> = lines.filter(|line| line["event"] == "prediction_log_closed").collect();
    assert_eq!(end.len(), 1, "{log}");
    assert_eq!((&end[0]["written"], &end[0]["lost"]), (&json!(records(folder).len()), &json!(lost)));
    assert_eq!(log.matches("cannot write the prediction log").count(), 1, "{log}");
}

#[test]
fn records_that_are_not_on_the_disk_are_counted() {
    let workspace = packaged(300);
    // a file that must not grow: as root and as anyone
    let folder = workspace.path("kept");
    let served = Served::with_file_limit(&workspace, "--log-requests none --log-predictions kept", 300);
    send(&served, 2000);
    let lost = lost_of(&served, &folder, 2000);
    assert!(lost > 100 && lost < 2000, "{lost} lost");
    check_end(&workspace, served, &folder, lost);
}

/// A file system in memory, taken away at the end.
struct MemoryDisk(PathBuf);

impl MemoryDisk {
    /// `None` where nobody may mount.
    fn new(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", size, "none"]).arg(&path).status();
        status.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_counted_and_written_again_when_there_is_space() {
    let workspace = packaged(300);
    let Some(disk) = MemoryDisk::new(workspace.path("disk"), "size=256k") else { return };
    let served = Served::start(&workspace, "--log-requests none --log-predictions disk/kept");
    let folder = disk.0.join("kept");
    fs::write(disk.0.join("ballast"), vec![0; 100 << 10]).unwrap();
    send(&served, 1000);
    let lost = lost_of(&served, &folder, 1000);
    assert!(lost > 100 && lost < 1000, "{lost} lost");
    fs::remove_file(disk.0.join("ballast")).unwrap();
    send(&served, 100);
    assert_eq!(lost_of(&served, &folder, 1100), lost);
    check_end(&workspace, served, &folder, lost);
}
