//! Whatever happens between `train` and a server, whenever it happens: no run is lost, none is there twice, nothing is missing.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use testkit::Workspace;

use crate::{
    houses, model_config,
    proxy::{NetworkFailure, Proxy},
    server::{NEWEST, Server},
};

/// Clients at a time: more than one, because most of the time is spent waiting.
const WORKERS: usize = 3;
/// How long an answer is waited for where something goes wrong, and how late a late request is.
const TIMEOUT: &str = "2";
/// How long where nothing does: a server that has just begun takes its time for the first requests.
const REQUEST_TIMEOUT: &str = "60";
const LATE: Duration = Duration::from_millis(2600);

/// A quick model under the name `name`, in a folder of its own below `workspace`.
fn write_config(workspace: &Workspace, name: &str) {
    let config = model_config("Ridge", "  cross_validation: {folds: 0}\n").replace("name: m\n", &format!("name: {name}\n"));
    workspace.write(&format!("{name}/model.yaml"), config);
}

/// Trains through a proxy, in a folder of its own below `workspace`, under the name `name`. Returns how many requests came.
fn train(workspace: &Workspace, server: &Server, name: &str, fault: NetworkFailure, k: usize) -> usize {
    write_config(workspace, name);
    let proxy = Proxy::start(server.address(), fault, k);
    let mut command = workspace.command("train");
    command.current_dir(workspace.path(name));
    command.args("--config model.yaml --data ../featured.csv --models-dir models --register".split(' '));
    command.args(["--mlflow-tracking-uri", &proxy.uri()]);
    wait_for(&mut command, if fault == NetworkFailure::None { REQUEST_TIMEOUT } else { TIMEOUT });
    let output = command.output().expect("train starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    proxy.settle();
    proxy.seen()
}

/// A client that gives up soon.
fn impatient(command: &mut Command) {
    wait_for(command, TIMEOUT);
}

/// A client that waits so many seconds for an answer.
fn wait_for(command: &mut Command, seconds: &str) {
    command.env("MLFLOW_HTTP_REQUEST_TIMEOUT", seconds).env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3");
    command.env("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0.01").env("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0");
}

/// Sends to the server itself what did not get there; what is said of it.
fn sync(workspace: &Workspace, server: &Server, name: &str) -> String {
    let mut command = workspace.command("train");
    command.current_dir(workspace.path(name)).args(["sync", "--mlflow-tracking-uri", &server.uri]);
    let output = command.output().expect("train starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // 1: all of it was received, so nothing is recorded here
    assert!(output.status.success() || stderr.ends_with("no run was recorded there\n"), "{name}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything the server has under `name`, without what differs from run to run; panics if anything is there twice, or not at all.
fn kept(server: &Server, name: &str) -> Value {
    let api = |path: &str| format!("/api/2.0/mlflow/{path}");
    let get = |path: &str| server.get_json(&api(path));
    let post = |path: &str, body: Value| server.post_json(&api(path), &body);
    let experiment = get(&format!("experiments/get-by-name?experiment_name={name}"))["experiment"]["experiment_id"].clone();
    let runs = post("runs/search", json!({"experiment_ids": [experiment]}))["runs"].clone();
    let runs = runs.as_array().unwrap_or_else(|| panic!("{name}: no run"));
    assert_eq!(runs.len(), 1, "{name}: runs");
    let id = runs[0]["info"]["run_id"].as_str().unwrap();
    let run = get(&format!("runs/get?run_id={id}"))["run"].clone();
    let models = post("logged-models/search", json!({"experiment_ids": [experiment]}))["models"].clone();
    let models = models.as_array().unwrap_or_else(|| panic!("{name}: no logged model"));
    assert_eq!(models.len(), 1, "{name}: logged models");
    let model = models[0]["info"]["model_id"].as_str().unwrap();
    let versions = get(&format!("model-versions/search?filter=name%3D%27{name}%27"))["model_versions"].clone();
    let versions = versions.as_array().unwrap_or_else(|| panic!("{name}: no version"));
    assert_eq!(versions.len(), 1, "{name}: versions");
    let registered = get(&format!("registered-models/get?name={name}"))["registered_model"].clone();
    let alias = json!([{"alias": "challenger", "version": versions[0]["version"]}]);
    assert_eq!(registered["aliases"], alias, "{name}");
    assert_eq!(versions[0]["source"], format!("models:/{model}"), "{name}");

    let keys = |pairs: &Value| -> Vec<String> {
        let mut keys: Vec<String> =
            pairs.as_array().into_iter().flatten().map(|pair| pair["key"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    };
    let points = |key: &str| {
        get(&format!("metrics/get-history?run_id={id}&metric_key={key}"))["metrics"].as_array().map_or(0, Vec::len)
    };
    let points: Vec<usize> = ["r2", "training_score", "system/disk_usage_percentage"].into_iter().map(points).collect();
    let of_model: BTreeMap<String, Value> = models[0]["data"]["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|metric| (metric["key"].as_str().unwrap().to_owned(), metric["dataset_name"].clone()))
        .collect();
    json!({
        "status": run["info"]["status"],
        "ended": run["info"]["end_time"].as_i64() >= run["info"]["start_time"].as_i64(),
        "params": keys(&run["data"]["params"]),
        "tags": keys(&run["data"]["tags"]),
        "metrics": keys(&run["data"]["metrics"]),
        "points": points,
        "inputs": run["inputs"]["dataset_inputs"].as_array().map_or(0, Vec::len),
        "outputs": run["outputs"]["model_outputs"].as_array().map(|outputs| outputs.iter().map(|output| output["model_id"] == model).collect::<Vec<bool>>()),
        "artifacts": files(server, &format!("artifacts/list?run_id={id}&path="), ""),
        "model_status": models[0]["info"]["status"],
        "model_source": models[0]["info"]["source_run_id"] == id,
        "model_params": keys(&models[0]["info"]["params"]),
        "model_tags": keys(&models[0]["info"]["tags"]),
        "model_metrics": of_model,
        "model_artifacts": files(server, &format!("logged-models/{model}/artifacts/directories?artifact_directory_path="), ""),
        "version_tags": keys(&versions[0]["tags"]),
        "moves": registered["tags"].as_array().map_or(0, Vec::len),
    })
}

/// All files below a folder, which `list` lists.
fn files(server: &Server, list: &str, folder: &str) -> Vec<String> {
    let found = server.get_json(&format!("/api/2.0/mlflow/{list}{folder}"));
    let mut all = Vec::new();
    for file in found["files"].as_array().into_iter().flatten() {
        let path = file["path"].as_str().unwrap();
        if file["is_dir"] == true {
            all.extend(files(server, list, path));
        } else {
            assert!(file["file_size"].as_u64().is_some_and(|size| size > 0), "{path} is empty");
            all.push(path.to_owned());
        }
    }
    all.sort();
    all
}

#[test]
fn no_fault_at_any_request_loses_or_doubles_anything() {
    let workspace = houses(300);
    workspace.ok(crate::PROCESS);
    workspace.ok(crate::ENGINEER);
    // of no case, so that the features lie beside the preprocessor
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    let requests = train(&workspace, &server, "sound", NetworkFailure::None, 0);
    let sound = kept(&server, "sound");
    assert!(sound["artifacts"].as_array().unwrap().len() > 15 && sound["status"] == "FINISHED", "{sound}");
    let beside_artifacts =
        requests - sound["artifacts"].as_array().unwrap().len() - sound["model_artifacts"].as_array().unwrap().len();
    assert!(beside_artifacts <= 20, "{beside_artifacts} requests");

    let faults = [
        NetworkFailure::Lost,
        NetworkFailure::Unanswered,
        NetworkFailure::Failed,
        NetworkFailure::Refused,
        NetworkFailure::Late(LATE),
        NetworkFailure::Gone,
    ];
    for_every_request(&faults, requests, &|name, fault, k| {
        train(&workspace, &server, name, fault, k);
        sync(&workspace, &server, name);
        assert_eq!(kept(&server, name), sound, "{name}");
        // and once more
        let again = sync(&workspace, &server, name);
        assert!(again.is_empty() || again.starts_with("sync      unchanged: 0 runs sent"), "{name}: {again}");
        assert_eq!(kept(&server, name), sound, "{name}, sent twice");
    });

    // what was recorded without a server, sent by a `sync` that is interrupted
    for_every_request(&[NetworkFailure::Unanswered, NetworkFailure::Gone], requests, &|name, fault, k| {
        let name = &format!("sync_{name}");
        write_config(&workspace, name);
        let line = "--config model.yaml --data ../featured.csv --models-dir models --register";
        let mut command = workspace.command("train");
        let output = command.current_dir(workspace.path(name)).args(line.split(' ')).output().expect("train starts");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let proxy = Proxy::start(server.address(), fault, k);
        let mut command = workspace.command("train");
        command.current_dir(workspace.path(name)).args(["sync", "--mlflow-tracking-uri", &proxy.uri()]);
        impatient(&mut command);
        let output = command.output().expect("train starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let message = stderr.contains("sent runs are kept; the next `train sync` continues from there");
        assert!(output.status.success() || (output.status.code() == Some(2) && message), "{name}: {stderr}");
        proxy.settle();
        drop(proxy);
        sync(&workspace, &server, name);
        assert_eq!(kept(&server, name), sound, "{name}");
        assert!(sync(&workspace, &server, name).starts_with("sync      unchanged: 0 runs sent"), "{name}");
    });
}

/// A server that goes and comes again under its address: the run that lost it is not taken for a killed one by the next training, and is
/// completed by `sync`.
#[test]
fn a_run_that_lost_its_server_is_not_taken_for_killed() {
    let workspace = houses(300);
    workspace.ok(crate::PROCESS);
    workspace.ok(crate::ENGINEER);
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    write_config(&workspace, "lost");
    let run = |proxy: &Proxy, line: &str, seconds: &str| {
        let mut command = workspace.command("train");
        command.current_dir(workspace.path("lost")).args(line.split(' ')).args(["--mlflow-tracking-uri", &proxy.uri()]);
        wait_for(&mut command, seconds);
        let output = command.output().expect("train starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        proxy.settle();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let train = "--config model.yaml --data ../featured.csv --models-dir models --force";
    let proxy = Proxy::start(server.address(), NetworkFailure::Gone, 8);
    let address = proxy.address();
    assert!(run(&proxy, train, TIMEOUT).contains("the run is complete in "));
    drop(proxy);
    let proxy = Proxy::start_at(address, server.address(), NetworkFailure::None, 0);
    assert_eq!(run(&proxy, train, REQUEST_TIMEOUT), "");
    let states = || {
        let body = json!({"experiment_ids": ["1"], "order_by": ["attributes.start_time ASC"]});
        let runs = server.post_json("/api/2.0/mlflow/runs/search", &body)["runs"].clone();
        let state = |run: &Value| run["info"]["status"].as_str().unwrap().to_owned();
        runs.as_array().unwrap().iter().map(state).collect::<Vec<String>>()
    };
    assert_eq!(states(), ["RUNNING", "FINISHED"]);
    run(&proxy, "sync", REQUEST_TIMEOUT);
    assert_eq!(states(), ["FINISHED", "FINISHED"]);
}

/// Judges every fault at every request, several at a time; panics with all that went wrong.
fn for_every_request(faults: &[NetworkFailure], requests: usize, judge: &(dyn Fn(&str, NetworkFailure, usize) + Sync)) {
    let cases: Vec<(NetworkFailure, usize)> =
        faults.iter().flat_map(|fault| (1..=requests).map(move |k| (*fault, k))).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((fault, k)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            let word = format!("{fault:?}").split('(').next().unwrap_or_default().to_lowercase();
            let name = format!("{word}_{k}");
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&name, *fault, *k)));
            if let Err(panic) = judged {
                let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into());
                wrong.lock().unwrap().push(format!("{name}: {text}"));
            }
        }
    };
    thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
