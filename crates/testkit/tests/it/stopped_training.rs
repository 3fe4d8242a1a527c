//! A training that is stopped while its run is recorded, and started again, is one run.

use std::{fs, process::Child, thread::sleep, time::Duration};

use testkit::Workspace;

use crate::{
    model_config,
    recording::{NOTE, TRAIN, ready, start, statuses, value},
};

/// Trains until `stops` says that the instant has come, then calls `stop`.
fn train_until(
    workspace: &Workspace,
    line: &str,
    instant: impl Fn(&Workspace) -> bool,
    stop: impl FnOnce(&mut Child),
) -> Option<i32> {
    let mut child = start(workspace, line);
    while child.try_wait().unwrap().is_none() && !instant(workspace) {
        sleep(Duration::from_micros(200));
    }
    stop(&mut child);
    child.wait().unwrap().code()
}

/// How many runs are finished, and how many there are.
fn count_runs(workspace: &Workspace) -> (usize, usize) {
    let all = statuses(workspace);
    (all.iter().filter(|status| *status == "FINISHED").count(), all.len())
}

#[test]
fn a_training_stopped_between_its_record_and_its_manifests_is_one_run() {
    let workspace = ready(500);
    workspace.ok(TRAIN);
    let manifest = "models/trained/model.bin.manifest.json";
    let (mut stopped, mut trained) = (0, 1);
    for attempt in 0..20 {
        workspace.write("model.yaml", model_config("Ridge", &format!("  parameters:\n    alpha: 0.{}\n", attempt + 1)));
        let block = |_: &mut Child| {
            fs::remove_file(workspace.path(manifest)).unwrap();
            // the training may have been quicker
            let _ = fs::create_dir(workspace.path(manifest));
        };
        let line = if attempt % 2 == 0 { TRAIN.to_owned() } else { format!("{TRAIN} --force") };
        let code = train_until(&workspace, &line, |workspace| workspace.path(NOTE).exists(), block);
        trained += 1;
        let _ = fs::remove_dir(workspace.path(manifest));
        if code != Some(2) {
            // it was done before the folder stood in its way
            workspace.ok(&line);
            trained = count_runs(&workspace).1;
            continue;
        }
        stopped += 1;
        assert_eq!(count_runs(&workspace), (trained, trained), "it is recorded, and not as failed");
        let run = workspace.run(&line);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let name = workspace.json("models/trained/metrics.json")["identity"]["run_name"].as_str().unwrap().to_owned();
        assert_eq!(
            run.stderr,
            format!("warning: the last training was stopped after run {name} was recorded; its manifests are written now\n")
        );
        assert!(run.stdout.starts_with("train     done: "), "{}", run.stdout);
        assert_eq!(count_runs(&workspace), (trained, trained));
        assert!(!workspace.path(NOTE).exists());
        assert!(workspace.ok(TRAIN).contains("unchanged"));
        if stopped == 3 {
            break;
        }
    }
    assert_eq!(stopped, 3, "no training was stopped between its record and its manifests");

    // another training is another run
    workspace.write(NOTE, workspace.read(manifest));
    workspace.write("model.yaml", model_config("Ridge", "  parameters:\n    alpha: 7\n"));
    let run = workspace.run(TRAIN);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(count_runs(&workspace), (trained + 1, trained + 1));
}

#[test]
fn a_training_killed_while_it_is_recorded_is_one_run() {
    let workspace = ready(500);
    workspace.ok(TRAIN);
    let mut trained: usize = 1;
    for attempt in 0..12 {
        workspace.write("model.yaml", model_config("Ridge", &format!("  parameters:\n    alpha: 0.{}\n", attempt + 1)));
        let recorded = |workspace: &Workspace| {
            let connection = rusqlite::Connection::open(workspace.path("mlflow.db")).unwrap();
            let sql = "SELECT count(*) FROM runs WHERE status = 'FINISHED'";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|found| found > trained as i64)
        };
        let noted = |workspace: &Workspace| workspace.path(NOTE).exists();
        let instant = |workspace: &Workspace| if attempt % 2 == 0 { recorded(workspace) } else { noted(workspace) };
        train_until(&workspace, TRAIN, instant, |child| child.kill().unwrap());
        let run = workspace.run(TRAIN);
        assert_eq!(run.code, 0, "{}", run.stderr);
        trained += 1;
        assert_eq!(count_runs(&workspace), (trained, trained), "attempt {attempt}: {}", run.stderr);
        let models = "SELECT CAST(count(*) AS TEXT) FROM logged_models";
        assert_eq!(value(&workspace, models), trained.to_string(), "attempt {attempt}");
    }
    assert!(workspace.ok(TRAIN).contains("unchanged"));
    assert_eq!(fs::read_dir(workspace.path("mlruns/.running")).unwrap().count(), 0);
}
