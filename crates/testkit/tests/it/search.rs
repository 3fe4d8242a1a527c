//! `train search`: the same trials give the same winner, however the work was divided or interrupted.

use std::{fs, process::Stdio};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use testkit::Workspace;

use crate::{
    ENGINEER, PROCESS, houses,
    mlflow::read,
    server::{NEWEST, Server},
    snapshot::{Transcript, assert_text, text_of_page},
};

const SEARCH: &str = "\
search:
  name: m
  trials: 14
  minutes: 10
  folds: 3
  candidates:
    - algorithm: Ridge
      target_transform: [log]
      parameters: {alpha: {low: 0.01, high: 100, log: true}, standardize: true}
    - algorithm: GradientBoosting
      target_transform: [log, none]
      parameters: {n_estimators: {low: 20, high: 60, whole: true}, max_depth: [2, 3, 4], min_samples_leaf: 5}
    - algorithm: Lasso
      parameters: {alpha: [1.0, 10.0]}
";

fn prepared(rows: u64) -> Workspace {
    let workspace = houses(rows);
    workspace.write("search.yaml", SEARCH);
    [PROCESS, ENGINEER].into_iter().for_each(|line| {
        workspace.ok(line);
    });
    workspace
}

fn search(workspace: &Workspace, extra: &str) -> Value {
    let line = format!(
        "train search --config search.yaml --data featured.csv --models-dir models --output best.yaml --output-format json {extra}"
    );
    serde_json::from_str(&workspace.ok(&line)).expect("one line of JSON")
}

#[test]
fn a_search_writes_the_best_model_trains_it_and_records_every_trial() {
    let workspace = prepared(500);
    let found = search(&workspace, "");
    assert_eq!((&found["trials"], &found["taken_from_before"]), (&14.into(), &0.into()));
    let config = workspace.read("best.yaml");
    assert_text!("configuration", config);
    assert_text!("leaderboard", text_of_page(&workspace.read("models/search/leaderboard.html")));

    // the winner is measured as any model is, and its folds are those of the search
    let record: Value = serde_json::from_str(&workspace.read("models/trained/metrics.json")).unwrap();
    let metrics = record["metrics"].as_array().unwrap();
    assert!(metrics.iter().any(|point| point["key"] == "mae"));
    let runs: Value = serde_json::from_str(&workspace.ok("train runs --limit 100 --output-format json")).unwrap();
    let names: Vec<&str> = runs["runs"].as_array().unwrap().iter().map(|run| run["run_name"].as_str().unwrap()).collect();
    let id = found["search"].as_str().unwrap();
    assert_eq!(names.iter().filter(|name| name.starts_with(&format!("search-{id}-"))).count(), 14, "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == format!("search-{id}")).count(), 1);

    // again: everything is known, and the same comes out
    let again = search(&workspace, "");
    assert_eq!(again["taken_from_before"], 14);
    assert_eq!((again["score"].as_f64(), workspace.read("best.yaml")), (found["score"].as_f64(), config));
    // more trials go on with it
    let more = search(&workspace, "--trials 16");
    assert_eq!((&more["trials"], &more["taken_from_before"]), (&16.into(), &14.into()));
}

#[test]
fn shards_share_a_search_and_the_last_command_chooses_among_all() {
    let whole = prepared(500);
    search(&whole, "");
    let shared = prepared(500);
    for shard in ["1/2", "2/2"] {
        let part = search(&shared, &format!("--shard {shard}"));
        assert_eq!((&part["trials"], &part["config"]), (&7.into(), &Value::Null));
        assert!(!shared.path("best.yaml").exists() && !shared.path("models/trained/model.bin").exists());
    }
    let found = search(&shared, "");
    assert_eq!(found["taken_from_before"], 14);
    assert_eq!(shared.read("best.yaml"), whole.read("best.yaml"));
    assert_eq!(shared.read("models/trained/predictions.csv"), whole.read("models/trained/predictions.csv"));
}

#[test]
fn halving_measures_many_on_few_rows_and_few_on_all() {
    let workspace = prepared(6500);
    workspace.write("search.yaml", SEARCH.replace("trials: 14", "trials: 27"));
    let found = search(&workspace, "");
    assert_eq!((&found["trials"], &found["measured_on_all_rows"]), (&27.into(), &3.into()));
}

#[test]
fn searches_that_cannot_begin_say_why() {
    let workspace = prepared(300);
    let mut transcript = Transcript::default();
    for (from, to, flags) in [
        ("", "", "--shard 3/2"),
        ("", "", "--minutes 0"),
        ("Lasso", "Laso", ""),
        ("folds: 3", "folds: 900", ""),
        ("name: m", "name: m\n  target_variable: sqft", ""),
    ] {
        if !from.is_empty() {
            transcript.note(&format!("{from:?} replaced by {to:?}"));
        }
        workspace.write("search.yaml", SEARCH.replacen(from, to, 1));
        let line = "train search --config search.yaml --data featured.csv --models-dir models --output best.yaml";
        assert_eq!(transcript.run(&workspace, format!("{line} {flags}").trim_end()).code, 2);
    }
    assert!(!workspace.path("best.yaml").exists());
    assert_text!(transcript.text);
}

#[test]
fn a_trial_that_cannot_be_fitted_costs_a_warning() {
    let workspace = prepared(300);
    // a table with negative targets has no gamma
    let gamma = "    - algorithm: GradientBoosting\n      parameters: {n_estimators: 5, categorical_features: [nothing]}\n";
    workspace.write("search.yaml", format!("{SEARCH}{gamma}").replace("trials: 14", "trials: 4"));
    let search = "train search --config search.yaml --data featured.csv --models-dir models --output best.yaml";
    let mut transcript = Transcript::default();
    assert_eq!(transcript.run(&workspace, search).code, 2);
    workspace.write(
        "search.yaml",
        format!("{SEARCH}{}", gamma.replace("[nothing]", "[[nothing]]")).replace("trials: 14", "trials: 4"),
    );
    assert_eq!(transcript.run(&workspace, search).code, 0);
    assert_text!(transcript.text);
}

#[test]
fn machines_share_a_search_through_a_server_and_trials_stand_below_their_search() {
    let workspace = prepared(400);
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    let uri = format!("--mlflow-tracking-uri {}", server.uri);
    for shard in ["1/2", "2/2"] {
        search(&workspace, &format!("--shard {shard} {uri}"));
    }
    let found = search(&workspace, &uri);
    assert_eq!((&found["trials"], &found["taken_from_before"]), (&14.into(), &14.into()));
    assert!(!workspace.path("mlflow.db").exists());
    let runs = read(&workspace, NEWEST, &server.uri)["experiments"]["m"].as_array().unwrap().clone();
    let named = |name: &str| -> Vec<&Value> {
        runs.iter().filter(|run| run["tags"]["mlflow.runName"].as_str().is_some_and(|own| own == name)).collect()
    };
    let id = found["search"].as_str().unwrap();
    let parents: Vec<&Value> = named(&format!("search-{id}")).into_iter().map(|run| &run["run_id"]).collect();
    assert_eq!(parents.len(), 3);
    // the trials of both machines, and the training of the winner
    let below: Vec<&Value> = runs.iter().filter(|run| parents.contains(&&run["tags"]["mlflow.parentRunId"])).collect();
    assert_eq!(below.len(), 15);
}

#[test]
fn a_search_that_is_killed_goes_on_where_it_was() {
    let workspace = prepared(2000);
    workspace.write(
        "search.yaml",
        SEARCH.replace("trials: 14", "trials: 60").replace("low: 20, high: 60", "low: 200, high: 400"),
    );
    let mut command = workspace.command("train");
    command.args("search --config search.yaml --data featured.csv --models-dir models --output best.yaml".split(' '));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // until some trials are recorded
    let recorded = || {
        let run = workspace.run("train runs --experiment m --limit 200 --output-format json");
        let runs: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        runs["runs"].as_array().map_or(0, |runs| runs.iter().filter(|run| run["status"] == "FINISHED").count())
    };
    for _ in 0..600 {
        if recorded() >= 5 || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = recorded();
    assert!(before >= 5);
    let found = search(&workspace, "--trials 27");
    assert_eq!(found["taken_from_before"].as_u64().unwrap() as usize, before);
    assert!(workspace.path("best.yaml").exists());
}

/// How many runs are searches themselves, named by eight digits.
const PARENTS: &str = "SELECT count(*) FROM runs WHERE name LIKE 'search-________'";

/// Killed at any instant from the record of the search to the manifests of its winner, and started again, it is one run with one winner below.
#[test]
fn a_search_that_is_killed_before_its_winner_is_trained_is_one_run() {
    let workspace = prepared(500);
    let runs = || -> Vec<Value> {
        let run = workspace.run("train runs --experiment m --limit 1000 --output-format json");
        let listing: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        listing["runs"].as_array().cloned().unwrap_or_default()
    };
    let store = workspace.path("mlflow.db");
    let count = |sql: &str| -> i64 {
        let opened = Connection::open_with_flags(&store, OpenFlags::SQLITE_OPEN_READ_ONLY);
        opened.and_then(|connection| connection.query_row(sql, [], |row| row.get(0))).unwrap_or(0)
    };
    let mut landed = 0;
    for attempt in 0..6 {
        let text = SEARCH.replace("trials: 14", "trials: 3").replace("folds: 3", &format!("folds: 3\n  seed: {attempt}"));
        workspace.write("search.yaml", text);
        let mut command = workspace.command("train");
        command.args("search --config search.yaml --data featured.csv --models-dir models --output best.yaml".split(' '));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // the run of the search is seen: as under way, or at its end
        let condition = if attempt % 2 == 0 { " AND status = 'FINISHED'" } else { "" };
        let sought = format!("{PARENTS}{condition}");
        while count(&sought) <= attempt && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(count(PARENTS), attempt + 1);
        if status.success() {
            // it was quicker
            continue;
        }
        landed += 1;
        search(&workspace, "");
        assert_eq!(count(PARENTS), attempt + 1, "attempt {attempt}");
        assert_eq!(fs::read_dir(workspace.path("models/search")).unwrap().count(), 1, "the note is gone");
    }
    assert!(landed >= 4, "{landed} of 6 searches were killed while they ran");
    let runs = runs();
    assert!(runs.iter().all(|run| run["status"] == "FINISHED" || run["status"] == "KILLED"), "{runs:?}");
    let of_searches: Vec<&Value> =
        runs.iter().filter(|run| run["run_name"].as_str().unwrap().len() == "search-".len() + 8).collect();
    assert_eq!(of_searches.len(), 6);
    assert!(of_searches.iter().all(|run| run["status"] == "FINISHED"), "{of_searches:?}");
    // each has one winner that was trained to its end
    let winners = "SELECT count(*) FROM runs JOIN tags USING (run_uuid) WHERE key = 'mlflow.parentRunId' AND status = 'FINISHED' \
                   AND name NOT LIKE 'search-%'";
    assert_eq!(count(winners), 6);
    // one that came to its end is another run when it is asked for again
    search(&workspace, "");
    assert_eq!(count(PARENTS), 7);
}
