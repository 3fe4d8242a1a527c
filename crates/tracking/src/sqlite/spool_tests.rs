//! Tests of runs that wait until they can be recorded in a database.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use artifact::RunStatus;

use crate::{
    entities::{location::Location, store::RunStore},
    rest::http_config::HttpConfig,
    sqlite::tests::{files, record, rows, run_record, store},
    tracker::{RecordOutcome, Tracker, Tracking, WarningSink, spool::Spool},
};

#[test]
fn what_cannot_be_recorded_waits_and_is_delivered_later() {
    let folder = tempfile::tempdir().unwrap();
    let (database, waiting) = (folder.path().join("mlflow.db"), folder.path().join("spool"));
    fs::write(&database, "x".repeat(200)).unwrap();
    let tracking = Tracking {
        location: Location::Sqlite { database: database.clone() },
        registry: None,
        settings: HttpConfig::default(),
        spool: waiting.clone(),
        run_locks: folder.path().join("marks"),
        sampling: None,
    };
    let said = Arc::new(Mutex::new(Vec::new()));
    let warn: WarningSink = {
        let said = said.clone();
        Arc::new(move |warning| said.lock().unwrap().push(warning))
    };
    let take = || std::mem::take(&mut *said.lock().unwrap());
    let tracker = Tracker::new(&tracking).unwrap();
    let under_way = tracker.begin(&record("a", RunStatus::Running), &warn);
    let recorded = tracker.end(Some(under_way), &record("a", RunStatus::Finished), &files(), &warn).unwrap();
    assert_eq!(recorded, RecordOutcome::Spooled(waiting.join("a")));
    let warnings = take();
    assert!(warnings.len() == 1 && warnings[0].contains("is not an SQLite database"), "{warnings:?}");
    // a run that waits for another store, one that a killed program left half written, and one that cannot be read
    let elsewhere = Spool::new(&waiting, "sqlite:////elsewhere.db");
    elsewhere.store_run(&record("b", RunStatus::Finished), &[]).unwrap();
    fs::create_dir_all(waiting.join("c/artifacts/model")).unwrap();
    fs::create_dir(waiting.join("d")).unwrap();
    fs::write(waiting.join("d/run.json"), "{").unwrap();

    fs::remove_file(&database).unwrap();
    let tracker = Tracker::new(&tracking).unwrap();
    let under_way = tracker.begin(&record("e", RunStatus::Running), &warn);
    tracker.end(Some(under_way), &record("e", RunStatus::Finished), &[], &warn).unwrap();
    let warnings = take().join("\n");
    assert!(
        warnings.starts_with(&format!("1 run that waited: recorded in sqlite:///{}\n", database.display())),
        "{warnings}"
    );
    assert!(
        warnings.contains(
            "spool/b: a run waits there for sqlite:////elsewhere.db; to record it, train with that --mlflow-tracking-uri\n"
        ),
        "{warnings}"
    );
    assert!(warnings.contains("spool/d/run.json: is not a waiting run: EOF"), "{warnings}");
    let store = store(&folder);
    assert_eq!(rows(&store, "SELECT run_uuid, status FROM runs ORDER BY 1"), ["a|FINISHED", "e|FINISHED"]);
    assert_eq!(fs::read(folder.path().join("mlruns/1/a/artifacts/model/model.bin")).unwrap(), b"model");
    assert_eq!(["a", "b", "c", "d"].map(|run| waiting.join(run).exists()), [false, true, false, true]);
}

#[test]
fn a_run_that_waited_since_an_older_version_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let waiting = folder.path().join("spool/a");
    fs::create_dir_all(waiting.join("artifacts/model")).unwrap();
    fs::write(waiting.join("artifacts/model/model.bin"), "model").unwrap();
    let file = artifact::FileEntry::from_file(&waiting.join("artifacts/model/model.bin")).unwrap();
    let text = serde_json::json!({
        "store": store.uri(),
        "record": run_record("a", RunStatus::Finished),
        "files": [{"place": "model/model.bin", "path": "artifacts/model/model.bin", "digest": file.digest, "bytes": file.bytes}],
    });
    fs::write(waiting.join("run.json"), text.to_string()).unwrap();
    assert_eq!(Spool::new(&folder.path().join("spool"), &store.uri()).deliver(&store).unwrap().runs, 1);
    assert_eq!(rows(&store, "SELECT run_uuid, status FROM runs"), ["a|FINISHED"]);
    assert_eq!(fs::read(folder.path().join("mlruns/1/a/artifacts/model/model.bin")).unwrap(), b"model");
}
