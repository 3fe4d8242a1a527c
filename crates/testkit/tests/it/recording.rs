//! Runs are recorded, whatever stands in the way, and a training is never lost to it.

use std::{
    fs,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use testkit::Workspace;

use crate::{ENGINEER, PROCESS, houses, model_config};

/// The note that stands beside the model while its run is recorded and its manifests are not written.
pub(crate) const NOTE: &str = "models/trained/.recording.manifest.json";
pub(crate) const TRAIN: &str = "train --config model.yaml --data featured.csv --models-dir models";

/// A workspace ready to train in, with a model that is quick to fit.
pub(crate) fn ready(rows: u64) -> Workspace {
    let workspace = houses(rows);
    workspace.write("model.yaml", model_config("Ridge", ""));
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    workspace
}

/// Starts a command line, of which nothing is to be seen.
pub(crate) fn start(workspace: &Workspace, line: &str) -> Child {
    let mut words = line.split_whitespace();
    let mut command = workspace.command(words.next().expect("a program"));
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

fn runs(workspace: &Workspace) -> Vec<Value> {
    let listing: Value =
        serde_json::from_str(&workspace.ok("train runs --limit 1000 --output-format json")).expect("JSON from train runs");
    listing["runs"].as_array().expect("runs").clone()
}

pub(crate) fn statuses(workspace: &Workspace) -> Vec<String> {
    runs(workspace).iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect()
}

/// One value of the database.
pub(crate) fn value(workspace: &Workspace, sql: &str) -> String {
    let connection = rusqlite::Connection::open(workspace.path("mlflow.db")).unwrap();
    connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
}

#[test]
fn every_run_is_recorded_beside_the_working_directory_and_listed() {
    let workspace = ready(500);
    let said = workspace.ok(TRAIN);
    let record = workspace.json("models/trained/metrics.json");
    let (id, name) = (record["identity"]["run_id"].as_str().unwrap(), record["identity"]["run_name"].as_str().unwrap());
    assert_eq!(
        said.lines().last().unwrap(),
        format!("          → models/trained/model.bin and report.html, run {name} in mlflow.db")
    );
    assert!(!workspace.path("mlruns/1/meta.yaml").exists());

    let listed = workspace.ok("train runs");
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("run id "), "{listed}");
    assert!(lines[1].starts_with(&format!("{id}  {name}  m           FINISHED  20")), "{listed}");
    let r2 = record["metrics"].as_array().unwrap().iter().find(|point| point["key"] == "r2").unwrap()["value"].clone();
    assert_eq!(runs(&workspace)[0]["metrics"]["r2"], r2);

    // nothing changed, so there is no run to record; and all that a run was made of is with it
    assert!(workspace.ok(TRAIN).contains("unchanged"));
    assert_eq!(runs(&workspace).len(), 1);
    let artifacts = format!("mlruns/1/{id}/artifacts");
    for place in ["model/model.bin", "metrics.json", "predictions.csv"] {
        let written = format!("models/trained/{}", place.rsplit('/').next().unwrap());
        assert_eq!(workspace.bytes(&format!("{artifacts}/{place}")), workspace.bytes(&written), "{place}");
    }
    assert_eq!(workspace.bytes(&format!("{artifacts}/configs/pipeline.yaml")), workspace.bytes("configs/pipeline.yaml"));
    assert_eq!(
        workspace.bytes(&format!("{artifacts}/reports/process.report.html")),
        workspace.bytes("cleaned.csv.report.html")
    );
}

#[test]
fn what_cannot_be_recorded_waits_and_goes_in_later() {
    let workspace = ready(500);
    let theirs = "a diary, which happens to have this name and is long enough to have a header that SQLite would look for\n";
    workspace.write("mlflow.db", theirs);
    let run = workspace.run(TRAIN);
    let id = workspace.json("models/trained/metrics.json")["identity"]["run_id"].as_str().unwrap().to_owned();
    let database = workspace.path("mlflow.db");
    let refusal = format!(
        "warning: {}: is not an SQLite database. Nothing was written to it; name another with --mlflow-tracking-uri\n",
        database.display()
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr, format!("{refusal}warning: the run waits in models/spool/{id}; the next training records it\n"));
    assert_eq!(workspace.read("mlflow.db"), theirs);
    assert_eq!(
        workspace.bytes(&format!("models/spool/{id}/artifacts/model/model.bin")),
        workspace.bytes("models/trained/model.bin")
    );

    fs::remove_file(&database).unwrap();
    let run = workspace.run(&format!("{TRAIN} --force"));
    assert_eq!(run.stderr, format!("warning: 1 run that waited: recorded in sqlite:///{}\n", database.display()));
    assert_eq!(statuses(&workspace), ["FINISHED", "FINISHED"]);
    assert!(workspace.path(&format!("mlruns/1/{id}/artifacts/model/model.bin")).exists());
    assert!(!workspace.path(&format!("models/spool/{id}")).exists());
}

#[test]
fn a_training_that_fails_is_recorded_with_its_reason() {
    let workspace = ready(500);
    workspace.write("model.yaml", model_config("Ridge", "  feature_sets:\n    few: [sqft, atlantis]\n  feature_set: few\n"));
    let stderr = workspace.fails(2, TRAIN);
    let reason = stderr.strip_prefix("error: ").unwrap().trim_end().to_owned();
    assert_eq!(statuses(&workspace), ["FAILED"]);
    assert_eq!(value(&workspace, "SELECT value FROM tags WHERE key = 'mlflow.note.content'"), reason);
    assert_eq!(value(&workspace, "SELECT CAST(end_time >= start_time AS TEXT) FROM runs"), "1");
}

#[test]
fn where_runs_go_is_said_by_the_flag_or_else_by_the_environment() {
    let workspace = ready(500);
    let stderr = workspace.fails(2, &format!("{TRAIN} --mlflow-tracking-uri file:/tmp/mlruns"));
    assert_eq!(
        stderr,
        "error: file:/tmp/mlruns: runs are recorded on an MLflow server or in an SQLite file; write http://HOST:PORT, \
         https://HOST/PATH or sqlite:///FILE.db\n"
    );
    assert!(!workspace.path("models/trained/model.bin").exists());
    let with = |uri: &str, line: &str| {
        let mut words = line.split_whitespace();
        let mut command = workspace.command(words.next().unwrap());
        let output = command.args(words).env("MLFLOW_TRACKING_URI", uri).output().unwrap();
        assert!(output.status.success(), "{line}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let warning = with("databricks", TRAIN);
    assert!(
        warning.starts_with("warning: MLFLOW_TRACKING_URI is not used: databricks: runs are recorded on an"),
        "{warning}"
    );
    assert!(warning.ends_with("or sqlite:///FILE.db. Using mlflow.db\n"), "{warning}");
    assert_eq!(with("sqlite:///deep/er/other.db", &format!("{TRAIN} --force")), "");
    assert!(workspace.path("deep/er/mlruns/1").is_dir());
    assert_eq!(with("sqlite:///deep/er/other.db", &format!("{TRAIN} --force --mlflow-tracking-uri sqlite:///third.db")), "");
    let count = |uri: &str| workspace.ok(&format!("train runs --mlflow-tracking-uri {uri}")).lines().count() - 1;
    assert_eq!(["mlflow.db", "deep/er/other.db", "third.db"].map(|file| count(&format!("sqlite:///{file}"))), [1, 1, 1]);
}

#[test]
fn runs_that_cannot_be_listed_are_refused_in_words() {
    let workspace = ready(500);
    let stderr = workspace.fails(2, "train runs");
    assert_eq!(
        stderr,
        format!("error: {}: no such file; no run was recorded there\n", workspace.path("mlflow.db").display())
    );
    assert!(!workspace.path("mlflow.db").exists());
    workspace.ok(TRAIN);
    assert_eq!(workspace.fails(1, "train runs --experiment boats"), "error: mlflow.db: has no experiment \"boats\"\n");
    assert_eq!(workspace.ok("train runs --experiment Default"), "no runs in mlflow.db\n");
    let stderr = workspace.fails(2, "train --mlflow-tracking-uri sqlite:///other.db runs");
    assert_eq!(
        stderr,
        "error: --mlflow-tracking-uri must come after `runs`: train runs \
         --mlflow-tracking-uri …\n"
    );
}

#[test]
fn a_store_that_was_moved_is_mended() {
    let workspace = ready(500);
    let uri = "--mlflow-tracking-uri sqlite:///old/mlflow.db";
    workspace.ok(&format!("{TRAIN} {uri}"));
    let said = workspace.ok(&format!("train relocate {uri}"));
    assert!(said.starts_with("relocate  unchanged: every recorded folder exists"), "{said}");
    fs::rename(workspace.path("old"), workspace.path("new")).unwrap();
    let said = workspace.ok("train relocate --mlflow-tracking-uri sqlite:///new/mlflow.db");
    let at = |name: &str| workspace.path(name).join("mlruns").display().to_string();
    assert_eq!(
        said,
        format!(
            "relocate  done: paths changed: 2 in experiments, 1 in runs, 1 in logged_models\n          {} → {}\n",
            at("old"),
            at("new")
        )
    );
    let connection = rusqlite::Connection::open(workspace.path("new/mlflow.db")).unwrap();
    let artifacts: String = connection.query_row("SELECT artifact_uri FROM runs", [], |row| row.get(0)).unwrap();
    assert!(fs::exists(std::path::Path::new(&artifacts).join("model/model.bin")).unwrap());
}

/// A hundred trainings, each killed at another instant of its life: the database stays sound, earlier runs stay whole, the next
/// run is as if nothing had been, and says of the killed ones that they were.
#[test]
fn a_killed_training_costs_nothing_but_itself() {
    let workspace = ready(500);
    workspace.ok(TRAIN);
    let took = |line: &str| {
        let started = std::time::Instant::now();
        workspace.ok(line);
        started.elapsed().as_micros() as u64
    };
    let mut longest = (0..3).map(|_| took(&format!("{TRAIN} --force"))).min().unwrap();
    let seed = 20_261_124;
    let mut random = fastrand::Rng::with_seed(seed);
    let whole = |workspace: &Workspace| {
        let connection = rusqlite::Connection::open(workspace.path("mlflow.db")).unwrap();
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let faults: i64 =
            connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
        assert_eq!((check.as_str(), faults), ("ok", 0));
        // of a finished run all is there
        let mut statement = connection
            .prepare(
                "SELECT run_uuid, artifact_uri, (SELECT count(*) FROM params WHERE params.run_uuid = runs.run_uuid), \
                 (SELECT count(*) FROM metrics WHERE metrics.run_uuid = runs.run_uuid), \
                 (SELECT count(*) FROM inputs WHERE destination_id = runs.run_uuid) FROM runs WHERE status = 'FINISHED' \
                 ORDER BY start_time, run_uuid",
            )
            .unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, [row.get::<_, i64>(2)?, row.get(3)?, row.get(4)?]))
        });
        let runs: Vec<_> = rows.unwrap().map(|row| row.unwrap()).collect();
        for (id, artifacts, counts) in &runs {
            assert_eq!(counts, &runs[0].2, "run {id}");
            let record = fs::read_to_string(std::path::Path::new(artifacts).join("metrics.json")).unwrap();
            assert!(record.contains(id.as_str()) && record.trim_end().ends_with('}'));
            assert!(fs::exists(std::path::Path::new(artifacts).join("model/model.bin")).unwrap());
        }
        runs.into_iter().map(|(id, ..)| id).collect::<Vec<String>>()
    };
    let mut finished = whole(&workspace);
    let (mut killed, mut attempts) = (0, 0);
    while killed < 100 {
        attempts += 1;
        assert!(attempts < 400, "{killed} of {attempts} trainings were killed while they ran");
        let mut child = start(&workspace, &format!("{TRAIN} --force"));
        let instant = random.u64(0..longest);
        sleep(Duration::from_micros(instant));
        child.kill().unwrap();
        // how long a training takes depends on what else the machine does: keep to what it is now
        if child.wait().unwrap().success() {
            longest = longest.min(instant).max(1000);
        } else {
            killed += 1;
            longest += longest / 20;
        }
        let now = whole(&workspace);
        assert!(finished.iter().all(|run| now.contains(run)), "seed {seed}, attempt {attempts}");
        finished = now;
    }
    // a training that was killed after its run was recorded is finished now, and is no other run
    let is_noted = workspace.path(NOTE).exists();
    let last = workspace.json("models/trained/metrics.json")["identity"]["run_id"].as_str().unwrap().to_owned();
    let is_recorded = is_noted && finished.contains(&last);
    let said = workspace.run(&format!("{TRAIN} --force"));
    assert_eq!(said.code, 0, "{}", said.stderr);
    let stopped = "warning: the last training was stopped after run ";
    assert_eq!(said.stderr.lines().any(|line| line.starts_with(stopped)), is_recorded, "{}", said.stderr);
    let runs = runs(&workspace);
    let count = |status: &str| runs.iter().filter(|run| run["status"] == status).count();
    assert_eq!(whole(&workspace).len(), finished.len() + usize::from(!is_recorded));
    assert_eq!((count("RUNNING"), count("FINISHED") + count("KILLED")), (0, runs.len()));
    assert!(count("KILLED") > 0, "no kill fell between the beginning and the end of a run");
    assert_eq!(fs::read_dir(workspace.path("mlruns/.running")).unwrap().count(), 0);
}

#[test]
fn the_next_start_says_that_a_run_was_killed_even_if_it_has_nothing_to_do() {
    let workspace = ready(500);
    workspace.write("slow.yaml", model_config("GradientBoosting", "  parameters:\n    n_estimators: 20000\n"));
    workspace.ok(TRAIN);
    let mut child = start(&workspace, "train --config slow.yaml --data featured.csv --models-dir models");
    let begun = (0..1000).any(|_| {
        sleep(Duration::from_millis(10));
        let marks = fs::read_dir(workspace.path("mlruns/.running")).unwrap();
        marks.count() == 1 && statuses(&workspace) == ["RUNNING", "FINISHED"]
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(begun, "the training did not begin");
    let run = workspace.run(TRAIN);
    assert!(run.stdout.contains("unchanged"), "{}", run.stdout);
    assert!(run.stderr.starts_with("warning: 1 run of killed programs: marked KILLED ("), "{}", run.stderr);
    assert_eq!(statuses(&workspace), ["KILLED", "FINISHED"]);
    let note = "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE status = 'KILLED' AND key = 'mlflow.note.content'";
    assert_eq!(value(&workspace, note), "The program was killed before the run ended.");
}

#[test]
fn two_trainings_at_once_are_two_runs() {
    let workspace = ready(500);
    let each = [("Ridge", "a"), ("Lasso", "b")];
    for (best_model, name) in each {
        workspace.write(&format!("{name}.yaml"), model_config(best_model, ""));
        workspace
            .ok(&format!("engineer --input cleaned.csv --output {name}.csv --preprocessor {name}/trained/preprocessor.bin"));
    }
    for round in 0..10 {
        let children = each.map(|(_, name)| {
            start(&workspace, &format!("train --config {name}.yaml --data {name}.csv --models-dir {name} --force"))
        });
        children.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success(), "round {round}"));
    }
    let runs = runs(&workspace);
    assert_eq!(runs.len(), 20);
    assert!(runs.iter().all(|run| run["status"] == "FINISHED"));
    let sum = "SELECT CAST(count(*) AS TEXT) FROM";
    let per_run = |table: &str, key: &str| {
        value(&workspace, &format!("{sum} (SELECT count(*) AS n FROM {table} GROUP BY {key} HAVING n > 1)"))
    };
    assert_eq!(
        [per_run("metrics", "run_uuid"), per_run("params", "run_uuid"), per_run("inputs", "destination_id")],
        ["20", "20", "20"]
    );
    // one dataset for all who read the same file
    assert_eq!(value(&workspace, &format!("{sum} datasets")), "4");
}

/// Two trainings that write into the same folder of models: every run keeps its own files, and what is left is of one of them.
#[test]
fn files_of_two_trainings_are_never_mixed() {
    let workspace = ready(500);
    for best_model in ["Ridge", "Lasso"] {
        workspace.write(&format!("{best_model}.yaml"), model_config(best_model, ""));
    }
    for _ in 0..5 {
        let children = ["Ridge", "Lasso"].map(|best_model| {
            start(&workspace, &format!("train --config {best_model}.yaml --data featured.csv --models-dir models --force"))
        });
        children.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
        workspace.ok("train predict --models-dir models --input raw.csv --output predicted.csv -q");
    }
    for run in runs(&workspace) {
        let record = workspace.json(&format!("mlruns/1/{}/artifacts/metrics.json", run["run_id"].as_str().unwrap()));
        assert_eq!(record["identity"]["run_id"], run["run_id"]);
        let manifest =
            workspace.json(&format!("mlruns/1/{}/artifacts/manifests/train.manifest.json", run["run_id"].as_str().unwrap()));
        let of = |files: &Value, name: &str| {
            let file = files.as_array().unwrap().iter().find(|file| file["path"].as_str().unwrap().ends_with(name)).unwrap();
            file["digest"].clone()
        };
        assert_eq!(of(&record["artifacts"], "model.bin"), of(&manifest["outputs"], "model.bin"));
    }
}
