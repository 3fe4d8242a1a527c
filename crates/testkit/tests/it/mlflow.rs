//! What real MLflows make of the store: the newest that can be installed, and the oldest of its major version.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use testkit::{Workspace, repository};

use crate::{
    TRAIN, houses, model_config, run_all,
    server::{NEWEST, OLDEST, Server, free_address, get, python},
};

/// Everything that a client of this version reads at `uri`.
pub(crate) fn read(workspace: &Workspace, version: &str, uri: &str) -> Value {
    let mut command = python(version);
    command.arg(repository().join("crates/testkit/golden/read_run.py")).arg(uri).current_dir(workspace.path(""));
    let output = command.output().expect("python runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Our figures under the names of MLflow's own logging.
const AUTOLOGGED: [(&str, &str); 10] = [
    ("train_mae", "training_mean_absolute_error"),
    ("train_rmse", "training_root_mean_squared_error"),
    ("train_rmse", "training_mean_squared_error"),
    ("train_r2", "training_r2_score"),
    ("train_r2", "training_score"),
    ("mae", "mean_absolute_error"),
    ("rmse", "root_mean_squared_error"),
    ("rmse", "mean_squared_error"),
    ("r2", "r2_score"),
    ("mape", "mean_absolute_percentage_error"),
];

/// What a client should read of the model that the run in `models/trained`, which is `run` in the store, has made.
pub(crate) fn expected_model(workspace: &Workspace, run: &Value) -> Value {
    let record = workspace.json("models/trained/metrics.json");
    let ours = expected(workspace);
    let mut tags = record["tags"].clone();
    tags["onnx"] = json!("raw columns to prediction");
    let mut metrics: Vec<Value> = Vec::new();
    for (key, points) in ours["metrics"].as_object().unwrap() {
        let context = match key.as_str() {
            key if key.starts_with("train") => "train",
            "mae" | "rmse" | "r2" | "mape" | "median_ae" => "test",
            key if AUTOLOGGED.iter().any(|(_, theirs)| *theirs == key) => "test",
            _ => continue,
        };
        let inputs = ours["inputs"].as_array().unwrap();
        let dataset = inputs.iter().find(|input| input["name"] == format!("featured:{context}")).unwrap();
        let point = &points[0];
        metrics.push(json!([key, point[0], point[1], point[2], dataset["name"], dataset["digest"]]));
    }
    json!({
        "name": record["name"],
        "model_type": "regressor",
        "status": "READY",
        "source_run_id": run["run_id"],
        "step": 0,
        "params": ours["params"],
        "tags": tags,
        "metrics": metrics,
    })
}

/// Checks the only model of `run`, a run as read: all of it, and that its files are whole.
pub(crate) fn has_the_model(run: &Value, workspace: &Workspace) {
    let models = run["models"].as_array().unwrap();
    assert_eq!(models.len(), 1);
    let mut model = models[0].clone();
    let artifacts = model.as_object_mut().unwrap().remove("artifacts").unwrap();
    let id = model.as_object_mut().unwrap().remove("model_id").unwrap();
    assert!(id.as_str().unwrap().starts_with("m-"), "{id}");
    let tags = model["tags"].as_object_mut().unwrap();
    for of_stores in ["client.model_id", "mlflow.modelVersions"] {
        tags.remove(of_stores);
    }
    assert_eq!(model, expected_model(workspace, run));
    for name in ["model.bin", "preprocessor.bin"] {
        assert_eq!(artifacts[name], run["artifacts"][format!("model/{name}")], "{name}");
    }
    assert_eq!(artifacts.as_object().unwrap().len(), 11, "{artifacts}");
}

/// What a client should read of the run in `models/trained`.
pub(crate) fn expected(workspace: &Workspace) -> Value {
    let record = workspace.json("models/trained/metrics.json");
    let identity = &record["identity"];
    let text = |value: &Value| match value {
        Value::Null => "None".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut params = json!({});
    for (name, value) in record["parameters"].as_object().unwrap() {
        params[name] = json!(text(value));
    }
    let mut tags = record["tags"].clone();
    for (key, value) in [
        ("mlflow.runName", &identity["run_name"]),
        ("mlflow.user", &identity["user"]),
        ("mlflow.source.name", &identity["source"]),
        ("mlflow.source.git.commit", &identity["commit"]),
        ("mlflow.source.git.branch", &identity["branch"]),
        ("mlflow.note.content", &record["note"]),
    ] {
        if !value.is_null() {
            tags[key] = value.clone();
        }
    }
    tags["mlflow.source.type"] = json!("LOCAL");
    tags["mlflow.loggedArtifacts"] = json!(
        "[{\"path\": \"tables/test_rows.json\", \"type\": \"table\"}, {\"path\": \"tables/importances.json\", \"type\": \"table\"}]"
    );
    let ended = &record["times"]["ended_at_ms"];
    let (mut metrics, mut latest) = (json!({}), json!({}));
    for point in record["metrics"].as_array().unwrap() {
        let key = point["key"].as_str().unwrap();
        if metrics[key].is_null() {
            metrics[key] = json!([]);
        }
        metrics[key].as_array_mut().unwrap().push(json!([point["step"], point["value"], ended]));
        latest[key] = point["value"].clone();
    }
    for (ours, theirs) in AUTOLOGGED {
        let value = latest[ours].as_f64().unwrap();
        let value =
            json!(if theirs.ends_with("mean_squared_error") && !theirs.contains("root") { value * value } else { value });
        metrics[theirs] = json!([[0, value, ended]]);
        latest[theirs] = value;
    }
    let mut inputs: Vec<Value> =
        record["datasets"].as_array().unwrap().iter().map(|input| dataset(workspace, input)).collect();
    inputs.sort_by_key(|input| input["name"].as_str().unwrap().to_owned());
    let mut artifacts = json!({});
    for file in record["artifacts"].as_array().unwrap() {
        let digest = file["digest"].as_str().unwrap().trim_start_matches("sha256:");
        artifacts[file["place"].as_str().unwrap()] = json!({"bytes": file["bytes"], "sha256": digest});
    }
    json!({
        "run_id": identity["run_id"],
        "run_name": identity["run_name"],
        "user": identity["user"],
        "status": "FINISHED",
        "start_time": record["times"]["started_at_ms"],
        "end_time": record["times"]["ended_at_ms"],
        "params": params,
        "tags": tags,
        "latest_metrics": latest,
        "metrics": metrics,
        "inputs": inputs,
        "artifacts": artifacts,
    })
}

fn dataset(workspace: &Workspace, input: &Value) -> Value {
    let columns = input["columns"].as_array().unwrap();
    let column = |name: &Value| json!({"type": "double", "name": name, "required": true});
    let context = input["context"].as_str().unwrap();
    json!({
        "name": format!("featured:{context}"),
        "digest": input["source"]["digest"].as_str().unwrap().trim_start_matches("sha256:")[..16],
        "source_type": "local",
        "source": {"uri": workspace.path("featured.csv")},
        "schema": {"mlflow_colspec": columns.iter().map(column).collect::<Vec<_>>()},
        "profile": {"num_rows": input["rows"], "num_elements": input["rows"].as_u64().unwrap() * columns.len() as u64},
        "tags": {"mlflow.data.context": if context == "train" { "training" } else { "testing" }},
    })
}

/// The run as read, but for `metrics.json` and the manifest of `train`, which cannot be in the record that they hold or digest, and for
/// what is looked at elsewhere: its model, and the figures of the machine, which must be there.
pub(crate) fn without_own_words(run: &Value) -> Value {
    let mut run = run.clone();
    run.as_object_mut().unwrap().remove("models");
    for figures in ["metrics", "latest_metrics"] {
        let figures = run[figures].as_object_mut().unwrap();
        let before = figures.len();
        figures.retain(|key, _| !key.starts_with("system/"));
        assert_eq!(before - figures.len(), 8);
    }
    for own in ["metrics.json", "manifests/train.manifest.json"] {
        assert!(run["artifacts"].as_object_mut().unwrap().remove(own).is_some(), "{own}");
    }
    run
}

/// Checks that the record among the artifacts of `run` is the one in `models/trained`.
pub(crate) fn has_the_record(run: &Value, workspace: &Workspace) {
    assert_eq!(run["artifacts"]["metrics.json"]["bytes"], workspace.bytes("models/trained/metrics.json").len());
}

#[test]
fn the_newest_mlflow_opens_the_store_with_no_flags_and_reads_everything_back() {
    let workspace = houses(500);
    workspace.write("model.yaml", model_config("Ridge", "  cross_validation:\n    folds: 3\n"));
    run_all(&workspace);
    let first = expected(&workspace);
    let reads = |found: &Value, runs: &[&Value]| {
        assert_eq!(found["version"], NEWEST);
        assert_eq!(found["experiments"]["Default"], json!([]));
        let read = found["experiments"]["house_price_model"].as_array().unwrap();
        assert_eq!(read.len(), runs.len());
        for (run, expected) in read.iter().zip(runs) {
            assert_eq!(&without_own_words(run), *expected);
        }
        has_the_model(&read[runs.len() - 1], &workspace);
    };
    assert!(first["metrics"].as_object().unwrap().len() > 20 && first["artifacts"].as_object().unwrap().len() > 7);
    // the client alone, on a copy: it migrates what it opens
    let copy = Workspace::new();
    std::fs::copy(workspace.path("mlflow.db"), copy.path("mlflow.db")).unwrap();
    reads(&read(&copy, NEWEST, "sqlite:///mlflow.db"), &[&first]);

    let server = Server::start(&workspace, NEWEST);
    let found = read(&workspace, NEWEST, &server.uri);
    reads(&found, &[&first]);
    has_the_record(&found["experiments"]["house_price_model"][0], &workspace);
    // the server has migrated the database, and has it open: the next run goes in, and is there at once
    workspace.ok(&format!("{TRAIN} --force"));
    let second = expected(&workspace);
    reads(&read(&workspace, NEWEST, &server.uri), &[&first, &second]);
    drop(server);
    workspace.ok(&format!("{TRAIN} --force"));
    assert_eq!(workspace.ok("train runs").lines().count(), 4);
}

#[test]
fn a_store_that_mlflow_made_is_joined() {
    for version in [OLDEST, NEWEST] {
        let workspace = houses(500);
        let script = "import mlflow\nmlflow.set_tracking_uri('sqlite:///mlflow.db')\nmlflow.set_experiment('theirs')\n\
                      with mlflow.start_run(run_name='their run'):\n    mlflow.log_metric('r2', 0.5)\n";
        let output = python(version).args(["-c", script]).current_dir(workspace.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        run_all(&workspace);
        let found = read(&workspace, version, "sqlite:///mlflow.db");
        assert_eq!(found["version"], version);
        assert_eq!(found["experiments"]["theirs"][0]["latest_metrics"], json!({"r2": 0.5}));
        let ours = &found["experiments"]["house_price_model"][0];
        has_the_record(ours, &workspace);
        assert_eq!(without_own_words(ours), expected(&workspace), "{version}");
        has_the_model(ours, &workspace);
        assert!(workspace.ok("train runs --experiment theirs").contains("their run"));
    }
}

#[test]
fn the_oldest_mlflow_of_its_major_version_opens_the_store() {
    let workspace = houses(500);
    run_all(&workspace);
    let found = read(&workspace, OLDEST, "sqlite:///mlflow.db");
    assert_eq!(found["version"], OLDEST);
    let ours = &found["experiments"]["house_price_model"][0];
    has_the_record(ours, &workspace);
    has_the_model(ours, &workspace);
    assert_eq!(without_own_words(ours), expected(&workspace));
}

#[test]
fn the_script_opens_a_run() {
    let script = |arguments: &[&str]| {
        let mut command = Command::new(repository().join("scripts/mlflow_ui.sh"));
        command.args(arguments).env_remove("MLFLOW_TRACKING_URI");
        command
    };
    let fails = |arguments: &[&str]| {
        let output = script(arguments).output().expect("bash runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let workspace = houses(500);
    run_all(&workspace);
    let store = workspace.path("mlflow.db").display().to_string();
    let run = workspace.json("models/trained/metrics.json")["identity"]["run_id"].as_str().unwrap().to_owned();
    let stranger = "0123456789abcdef0123456789abcdef";
    assert_eq!(fails(&["--store", "/none.db"]), "error: /none.db: no such file; `train` records runs there\n");
    assert_eq!(
        fails(&["--store", &store, "--run", stranger]),
        format!(
            "error: {store}: has no run {stranger}; `train runs` lists those it has, `train --force` records one again\n"
        )
    );
    assert_eq!(fails(&["--run", "../x"]), "error: --run ../x: is not the id of a run; `train runs` lists them\n");
    assert!(fails(&["--colour"]).ends_with("error: there is no option --colour\n"));
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_eq!(
        fails(&["--store", &store, "--port", &port]),
        format!("error: port {port} is taken, or not to be had; choose another with --port\n")
    );

    opens(&script, &store, &run);

    // as a workflow keeps it: packed, and opened where its paths lead nowhere
    let packed = workspace.path("elsewhere/output-mlflow.tar.gz").display().to_string();
    workspace.write("elsewhere/output-mlflow.tar.gz", "no archive");
    assert!(fails(&["--store", &packed]).ends_with(&format!("error: {packed}: cannot be unpacked\n")));
    let mut tar = Command::new("tar");
    tar.current_dir(workspace.path("")).args(["--remove-files", "-czf", &packed, "mlflow.db", "mlruns"]);
    assert!(tar.status().expect("tar runs").success());
    let answer = opens(&script, &packed, &run);
    assert!(answer.contains("elsewhere/output-mlflow/mlruns/"), "{answer}");
}

/// Opens a run of a store by the script; returns what the server says of the run.
fn opens(script: &dyn Fn(&[&str]) -> Command, store: &str, run: &str) -> String {
    let address = free_address();
    let mut command = script(&["--store", store, "--run", run, "--port", &address.port().to_string()]);
    let mut child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash runs");
    let said = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let server = Server::of(child, address);
    let link = said.into_iter().find(|line| line.starts_with("http://")).expect("the address of the run");
    assert_eq!(link, format!("{}/#/experiments/1/runs/{run}?workflowType=machine_learning", server.uri));
    let answer = get(address, &format!("/api/2.0/mlflow/runs/get?run_id={run}")).unwrap();
    assert!(answer.contains(" 200 ") && answer.contains("\"FINISHED\""), "{answer}");
    answer
}
