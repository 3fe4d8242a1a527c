//! Runs on a real MLflow server, over REST: everything comes back as it was sent, through MLflow's own Python client.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::{Value, json};
use testkit::{Run, Workspace, repository};

use crate::{
    houses,
    mlflow::{expected, has_the_model, has_the_record, read, without_own_words},
    model_config,
    server::{NEWEST, OLDEST, Server, python},
};

pub(crate) const TRAIN: &str = "train --config model.yaml --data featured.csv --models-dir models";

/// A workspace ready to train in, with a linear model.
pub(crate) fn ready(rows: u64) -> Workspace {
    let workspace = houses(rows);
    workspace.write("model.yaml", model_config("Ridge", "  target_transform: log\n  cross_validation: {folds: 3}\n"));
    workspace.ok(crate::PROCESS);
    workspace.ok(crate::ENGINEER);
    workspace
}

/// Runs a command line with these variables; a server that fails is given up at once.
pub(crate) fn run_with(workspace: &Workspace, line: &str, variables: &[(&str, &str)]) -> Run {
    let mut words = line.split_whitespace();
    let mut command = workspace.command(words.next().expect("a program"));
    command.args(words).env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1").env("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0");
    let output = command.envs(variables.iter().copied()).output().expect("the program starts");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A run as the server has it, under the id that the program gave it.
fn by_our_id(run: &Value, workspace: &Workspace) -> Value {
    let mut run = without_own_words(run);
    let ours = workspace.json("models/trained/metrics.json")["identity"]["run_id"].clone();
    assert_eq!(run["tags"].as_object_mut().unwrap().remove("client.run_id"), Some(ours.clone()));
    assert_ne!(run["run_id"], ours, "the server gives ids of its own");
    run["run_id"] = ours;
    run
}

#[test]
fn everything_comes_back_from_the_newest_and_the_oldest_server() {
    for version in [NEWEST, OLDEST] {
        let workspace = ready(500);
        let server = Server::start_in(&workspace, "server", version, &[]);
        let said = workspace.ok(&format!("{TRAIN} --register --mlflow-tracking-uri {}", server.uri));
        let found = read(&workspace, version, &server.uri);
        assert_eq!(found["version"], version);
        let run = &found["experiments"]["m"][0];
        has_the_record(run, &workspace);
        has_the_model(run, &workspace);
        assert_eq!(by_our_id(run, &workspace), expected(&workspace), "{version}");
        let id = run["run_id"].as_str().unwrap();
        let experiment = server.get_json("/api/2.0/mlflow/experiments/get-by-name?experiment_name=m")["experiment"].clone();
        let experiment = experiment["experiment_id"].as_str().unwrap();
        let page =
            format!("          → {}/#/experiments/{experiment}/runs/{id}?workflowType=machine_learning\n", server.uri);
        assert!(said.ends_with(&format!("          → version 1 of m, alias challenger\n{page}")), "{said}");

        let registered = &found["registry"]["m"];
        assert_eq!(registered["aliases"], json!({"challenger": "1"}));
        let moved: Vec<&String> = registered["tags"].as_object().unwrap().keys().collect();
        assert!(moved.len() == 1 && moved[0].starts_with("challenger 20"), "{moved:?}");
        let one = &registered["versions"][0];
        assert_eq!([&one["version"], &one["status"], &one["run_id"]], [&json!("1"), &json!("READY"), &run["run_id"]]);
        let record = workspace.json("models/trained/metrics.json");
        let description = one["description"].as_str().unwrap();
        assert!(description.starts_with("Ridge: R² 0.") && description.ends_with(record["note"].as_str().unwrap()));
        let r2 = expected(&workspace)["latest_metrics"]["r2"].to_string();
        assert_eq!([&one["tags"]["r2"], &one["tags"]["algorithm"]], [&json!(r2), &json!("Ridge")]);
        // nothing is kept here of what is there
        assert!(
            !workspace.path("mlflow.db").exists() && fs::read_dir(workspace.path("models/.running")).unwrap().count() == 0
        );

        let listed = workspace.ok(&format!("train runs --mlflow-tracking-uri {}", server.uri));
        assert!(listed.contains(id) && listed.contains("FINISHED"), "{listed}");
        let none = workspace.fails(1, &format!("train runs --experiment boats --mlflow-tracking-uri {}", server.uri));
        assert_eq!(none, format!("error: {}: has no experiment \"boats\"\n", server.uri));
        let stderr = workspace.fails(2, &format!("train relocate --mlflow-tracking-uri {}", server.uri));
        assert!(stderr.starts_with(&format!("error: {}: cannot relocate the paths of a server", server.uri)), "{stderr}");
    }
}

#[test]
fn a_run_of_scikit_learn_stands_beside_ours_under_the_same_names() {
    let workspace = ready(500);
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    workspace.ok(&format!("{TRAIN} --mlflow-tracking-uri {}", server.uri));
    let output = python(NEWEST)
        .arg(repository().join("crates/testkit/golden/sklearn_run.py"))
        .args([&server.uri, "m", "featured.csv"])
        .current_dir(workspace.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = workspace.ok(&format!("train runs --mlflow-tracking-uri {}", server.uri));
    let figures = |line: &str| line.split_whitespace().rev().take(3).map(str::to_owned).collect::<Vec<String>>();
    let lines: Vec<&str> = listed.lines().skip(1).collect();
    assert!(lines[0].contains("scikit-learn") && figures(lines[0]) == figures(lines[1]), "{listed}");
    let body = json!({"experiment_ids": ["1"], "order_by": ["attributes.start_time ASC"]});
    let runs = server.post_json("/api/2.0/mlflow/runs/search", &body)["runs"].clone();
    let metrics = |run: &Value| -> BTreeMap<String, f64> {
        let metrics = run["data"]["metrics"].as_array().unwrap();
        metrics
            .iter()
            .map(|metric| (metric["key"].as_str().unwrap().to_owned(), metric["value"].as_f64().unwrap()))
            .collect()
    };
    let (ours, theirs) = (metrics(&runs[0]), metrics(&runs[1]));
    // what autologging says of the fit, and evaluation of test rows
    for name in [
        "training_mean_absolute_error",
        "training_root_mean_squared_error",
        "training_mean_squared_error",
        "training_r2_score",
        "training_score",
        "mean_absolute_error",
        "root_mean_squared_error",
        "mean_squared_error",
        "r2_score",
        "mean_absolute_percentage_error",
    ] {
        let (ours, theirs) = (ours[name], theirs[name]);
        // the same ridge on the same rows; theirs predicts the price itself for the scores of the fit, as ours does
        assert!((ours - theirs).abs() <= 1e-6 * theirs.abs(), "{name}: {ours} against {theirs}");
    }
}

#[test]
fn what_a_server_refuses_is_said_and_the_run_is_kept() {
    let workspace = ready(300);
    let kept = |flags: &[&str], path: &str, variables: &[(&str, &str)], expected: &str| {
        let folder = format!("server{}", flags.join("_").replace(['/', ':', '-', '*'], "_"));
        let server = Server::start_in(&workspace, &folder, NEWEST, flags);
        let uri = format!("{}{path}", server.uri);
        let run = run_with(&workspace, &format!("{TRAIN} --force --mlflow-tracking-uri {uri}"), variables);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let warnings: Vec<&str> = run.stderr.lines().collect();
        let expected = expected.replace("HOST", server.uri.trim_start_matches("http://"));
        assert!(warnings[0].starts_with(&format!("warning: {uri}: ")) && warnings[0].contains(&expected), "{}", run.stderr);
        let database = workspace.path("mlflow.db");
        let sync = format!(
            "warning: the run is complete in {}; `train sync --mlflow-tracking-uri {uri}` sends it",
            database.display()
        );
        assert_eq!(warnings[1..], [sync]);
        assert!(run.stdout.trim_end().ends_with(" in mlflow.db"), "{}", run.stdout);
        server
    };
    kept(
        &["--allowed-hosts", "other.example"],
        "",
        &[],
        "the server rejects the host name of its address (403). Start it with `--allowed-hosts HOST`",
    );
    kept(&[], "/wrong/path", &[], "this is not an MLflow server, or the address lacks its path prefix (404");
    let s3 = ["--no-serve-artifacts", "--default-artifact-root", "s3://bucket/x"];
    let no_credentials = [("AWS_EC2_METADATA_DISABLED", "true")];
    kept(&s3, "", &no_credentials, "files cannot be uploaded to s3://bucket/x/1/");
    assert_eq!(workspace.ok("train runs").lines().count(), 4);
    // a server with a prefix
    let server = Server::start_in(&workspace, "prefixed", NEWEST, &["--static-prefix", "/ml"]);
    let said = workspace.ok(&format!("{TRAIN} --force --mlflow-tracking-uri {}/ml/", server.uri));
    assert!(said.contains(&format!("→ {}/ml/#/experiments/1/runs/", server.uri)), "{said}");
    // a root that is a folder of the server's machine, which is this one
    let server = Server::start_in(&workspace, "local", NEWEST, &["--no-serve-artifacts"]);
    workspace.ok(&format!("{TRAIN} --force --mlflow-tracking-uri {}", server.uri));
    let found = read(&workspace, NEWEST, &server.uri);
    has_the_model(&found["experiments"]["m"][0], &workspace);
}

#[test]
fn variables_of_the_official_client_are_honoured() {
    let workspace = ready(300);
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    let other = Server::start_in(&workspace, "registry", NEWEST, &[]);
    let variables = [
        ("MLFLOW_TRACKING_URI", server.uri.as_str()),
        ("MLFLOW_REGISTRY_URI", &other.uri),
        ("MLFLOW_EXPERIMENT_NAME", "streets"),
        ("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false"),
    ];
    let run = run_with(&workspace, &format!("{TRAIN} --register"), &variables);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let found = read(&workspace, NEWEST, &server.uri);
    let first = &found["experiments"]["streets"][0];
    assert!(first["metrics"].as_object().unwrap().keys().all(|key| !key.starts_with("system/")));
    // registered there, from the files of the run here
    let there = other.get_json("/api/2.0/mlflow/registered-models/get?name=m")["registered_model"].clone();
    assert_eq!(there["aliases"], json!([{"alias": "challenger", "version": "1"}]));
    let script = "import mlflow, sys, pandas\nmlflow.set_tracking_uri(sys.argv[1])\nmlflow.set_registry_uri(sys.argv[2])\n\
                  model = mlflow.pyfunc.load_model('models:/m@challenger')\nprint(len(model.predict(model.input_example)))\n";
    let output = python(NEWEST).args(["-c", script, &server.uri, &other.uri]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{}", String::from_utf8_lossy(&output.stderr));
    let promote = "train promote --name m --data cleaned.csv --pipeline-config open.yaml";
    workspace.write("open.yaml", workspace.read("configs/pipeline.yaml").replace("r2: {min: 0.9}", "r2: {min: 0.5}"));
    assert_eq!(run_with(&workspace, promote, &variables).code, 0);

    // a run that is there already is gone on with, under its own name
    let create = json!({"experiment_id": "1", "run_name": "theirs", "start_time": 1});
    let id = server.post_json("/api/2.0/mlflow/runs/create", &create)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let resumed = [variables[0], ("MLFLOW_RUN_ID", id.as_str())];
    let run = run_with(&workspace, &format!("{TRAIN} --force --parent-run {}", first["run_id"].as_str().unwrap()), &resumed);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let theirs = server.get_json(&format!("/api/2.0/mlflow/runs/get?run_id={id}"))["run"].clone();
    assert_eq!([&theirs["info"]["run_name"], &theirs["info"]["status"]], ["theirs", "FINISHED"]);
    let tags = theirs["data"]["tags"].as_array().unwrap();
    let parent = tags.iter().find(|tag| tag["key"] == "mlflow.parentRunId").unwrap();
    assert_eq!(parent["value"], first["run_id"]);

    let run = run_with(&workspace, &format!("{TRAIN} --force"), &[variables[0], ("MLFLOW_RUN_ID", "nonsense")]);
    assert_eq!(run.stderr, "warning: MLFLOW_RUN_ID is not used: \"nonsense\" is not the id of a run\n");
    let run = run_with(&workspace, TRAIN, &[variables[0], ("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (2, "error: MLFLOW_HTTP_REQUEST_TIMEOUT is \"soon\"; write a number from 0.001 to 86400\n")
    );
}

/// A run whose program is killed is marked as such by the next training.
#[test]
fn a_killed_training_is_marked_as_killed_on_the_server() {
    let workspace = ready(500);
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    workspace.write("slow.yaml", model_config("GradientBoosting", "  parameters: {n_estimators: 3000, max_depth: 6}\n"));
    let line = format!("{TRAIN} --mlflow-tracking-uri {}", server.uri).replace("model.yaml", "slow.yaml");
    let mut words = line.split_whitespace();
    let mut command: Command = workspace.command(words.next().unwrap());
    let mut child = command.args(words).spawn().unwrap();
    let marks = workspace.path("models/.running");
    let begun = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::read_dir(&marks).is_ok_and(|marks| marks.count() == 1)
    });
    assert!(begun, "the run did not begin within half a minute");
    child.kill().unwrap();
    child.wait().unwrap();
    let run = run_with(&workspace, &format!("{TRAIN} --mlflow-tracking-uri {}", server.uri), &[]);
    assert!(run.stderr.starts_with("warning: 1 run of killed programs: marked KILLED ("), "{}", run.stderr);
    let runs = server.post_json(
        "/api/2.0/mlflow/runs/search",
        &json!({"experiment_ids": ["1"], "order_by": ["attributes.start_time ASC"]}),
    );
    let states: Vec<&Value> = runs["runs"].as_array().unwrap().iter().map(|run| &run["info"]["status"]).collect();
    assert_eq!(states, ["KILLED", "FINISHED"]);
}
