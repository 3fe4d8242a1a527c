//! What the store does to a database, looked at with SQL.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use artifact::{DatasetInput, Digest, FileEntry, MetricPoint, RunIdentity, RunRecord, RunStatus, RunTimes};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;

use crate::{
    entities::{
        location::Location,
        run::Run,
        store::{ArtifactContent, RunFile, RunStore},
    },
    rest::http_config::HttpConfig,
    sqlite::store::{ALEMBIC_REVISION, SqliteStore},
    tracker::{Tracker, Tracking, WarningSink, spool::Spool},
};

pub(super) fn record(id: &str, status: RunStatus) -> Run {
    Run::from_record(&run_record(id, status))
}

pub(super) fn run_record(id: &str, status: RunStatus) -> RunRecord {
    let point = |key: &str, value, step| MetricPoint { key: key.into(), value, step };
    RunRecord {
        format_version: artifact::RUN_RECORD_VERSION,
        identity: RunIdentity {
            run_id: id.into(),
            run_name: format!("run {id}"),
            user: Some("ada".into()),
            source: "train".into(),
            commit: Some("abc".into()),
            branch: None,
        },
        status,
        name: "houses".into(),
        note: "**good**".into(),
        parameters: [("depth".into(), 3.into()), ("loss".into(), "squared".into()), ("max".into(), serde_json::Value::Null)]
            .into(),
        metrics: vec![point("r2", 0.9, 0), point("fold/r2", 0.8, 1), point("fold/r2", f64::NAN, 2)],
        tags: [("engine".into(), "x".into())].into(),
        datasets: ["train", "test"]
            .map(|context| DatasetInput {
                context: context.into(),
                source: FileEntry { path: "/data/featured.csv".into(), digest: Digest::of_bytes(b"f"), bytes: 1 },
                rows: 10,
                schema: "s".into(),
                columns: vec!["sqft".into(), "price".into()],
            })
            .into(),
        times: RunTimes { started_at_ms: 1_000, ended_at_ms: 3_000, ..RunTimes::default() },
        ..RunRecord::default()
    }
}

pub(super) fn files() -> Vec<RunFile> {
    vec![RunFile::of_run("model/model.bin", ArtifactContent::Bytes(b"model".to_vec()))]
}

pub(super) fn store(folder: &TempDir) -> SqliteStore {
    SqliteStore { lock_timeout: Duration::from_millis(50), ..SqliteStore::new(&folder.path().join("mlflow.db")) }
}

/// All rows of a query, each as text.
pub(super) fn rows(store: &SqliteStore, sql: &str) -> Vec<String> {
    let connection = Connection::open(store.database()).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let text = |value: Value| match value {
        Value::Null => "-".into(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(value) => value,
        Value::Blob(_) => "blob".into(),
    };
    let row = |row: &rusqlite::Row| (0..columns).map(|place| row.get(place).map(text)).collect::<Result<Vec<String>, _>>();
    statement.query_map([], row).unwrap().map(|row| row.unwrap().join("|")).collect()
}

#[test]
fn a_run_is_written_as_mlflow_would() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let here = folder.path().display();
    assert_eq!(store.begin(&record("a", RunStatus::Running)).unwrap().experiment_id, "1");
    assert_eq!(rows(&store, "SELECT status, start_time, end_time FROM runs"), ["RUNNING|1000|-"]);
    store.end(&record("a", RunStatus::Finished), &files()).unwrap();

    assert_eq!(rows(&store, "SELECT version_num FROM alembic_version"), [ALEMBIC_REVISION]);
    assert_eq!(
        rows(&store, "SELECT experiment_id, name, artifact_location, lifecycle_stage FROM experiments ORDER BY 1"),
        [format!("0|Default|{here}/mlruns/0|active"), format!("1|houses|{here}/mlruns/1|active")]
    );
    assert_eq!(
        rows(
            &store,
            "SELECT run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri FROM runs"
        ),
        [format!("a|run a|ada|FINISHED|1000|3000|active|{here}/mlruns/1/a/artifacts")]
    );
    assert_eq!(rows(&store, "SELECT key, value FROM params ORDER BY 1"), ["depth|3", "loss|squared", "max|None"]);
    assert_eq!(
        rows(&store, "SELECT key, value FROM tags ORDER BY 1"),
        [
            "engine|x",
            "mlflow.note.content|**good**",
            "mlflow.runName|run a",
            "mlflow.source.git.commit|abc",
            "mlflow.source.name|train",
            "mlflow.source.type|LOCAL",
            "mlflow.user|ada"
        ]
    );
    assert_eq!(
        rows(&store, "SELECT key, value, timestamp, step, is_nan FROM metrics ORDER BY 1, step"),
        ["fold/r2|0.8|3000|1|0", "fold/r2|0|3000|2|1", "r2|0.9|3000|0|0"]
    );
    assert_eq!(rows(&store, "SELECT key, step, is_nan FROM latest_metrics ORDER BY 1"), ["fold/r2|2|1", "r2|0|0"]);
    let joined = "SELECT datasets.name, length(digest), dataset_source, dataset_profile, input_tags.value FROM inputs \
                  JOIN datasets ON dataset_uuid = source_id JOIN input_tags USING (input_uuid) ORDER BY 1";
    let source = "16|{\"uri\":\"/data/featured.csv\"}|{\"num_elements\":20,\"num_rows\":10}";
    assert_eq!(
        rows(&store, joined),
        [format!("featured:test|{source}|testing"), format!("featured:train|{source}|training")]
    );
    assert_eq!(fs::read(folder.path().join("mlruns/1/a/artifacts/model/model.bin")).unwrap(), b"model");
}

#[test]
fn recording_a_run_again_changes_nothing_and_a_run_never_begun_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let all = || {
        ["runs", "params", "tags", "metrics", "latest_metrics", "datasets", "inputs", "input_tags"]
            .map(|table| rows(&store, &format!("SELECT * FROM {table}")))
    };
    let finished = record("a", RunStatus::Finished);
    store.end(&finished, &files()).unwrap();
    let before = all();
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 7, 3, 2, 2, 2, 2]);
    store.end(&finished, &files()).unwrap();
    assert_eq!(all(), before);
}

#[test]
fn a_killed_program_leaves_a_killed_run_and_a_living_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (living, killed) = (store(&folder), store(&folder));
    living.begin(&record("a", RunStatus::Running)).unwrap();
    killed.begin(&Run::from_record(&RunRecord { note: String::new(), ..run_record("b", RunStatus::Running) })).unwrap();
    drop(killed);
    assert_eq!(store(&folder).mark_orphaned_runs_killed().unwrap(), ["b"]);
    assert_eq!(store(&folder).mark_orphaned_runs_killed().unwrap(), [""; 0]);
    assert_eq!(rows(&living, "SELECT run_uuid, status, end_time FROM runs ORDER BY 1"), ["a|RUNNING|-", "b|KILLED|-"]);
    let note = "SELECT value FROM tags WHERE run_uuid = 'b' AND key = 'mlflow.note.content'";
    assert_eq!(rows(&living, note), ["The program was killed before the run ended."]);
    living.end(&record("a", RunStatus::Failed), &[]).unwrap();
    assert_eq!(rows(&living, "SELECT status, end_time FROM runs WHERE run_uuid = 'a'"), ["FAILED|3000"]);
    assert_eq!(fs::read_dir(folder.path().join("mlruns/.running")).unwrap().count(), 0);
}

#[test]
fn a_run_is_recorded_once_it_is_finished_or_waits() {
    let folder = tempfile::tempdir().unwrap();
    let file = store(&folder);
    let [running, finished] = [RunStatus::Running, RunStatus::Finished].map(|status| record("a", status));
    assert!(!file.is_finished(&finished).unwrap());
    assert!(!file.database().exists());
    file.begin(&running).unwrap();
    assert!(!file.is_finished(&finished).unwrap());
    file.end(&finished, &files()).unwrap();
    assert!(file.is_finished(&running).unwrap());
    assert!(!file.is_finished(&record("b", RunStatus::Finished)).unwrap());

    let spool = folder.path().join("spool");
    let tracking = Tracking {
        location: Location::Sqlite { database: file.database().to_owned() },
        registry: None,
        settings: HttpConfig::default(),
        spool: spool.clone(),
        run_locks: folder.path().join("marks"),
        sampling: None,
    };
    let tracker = Tracker::new(&tracking).unwrap();
    let waiting = record("c", RunStatus::Finished);
    assert!(tracker.is_recorded(&finished) && !tracker.is_recorded(&waiting));
    Spool::new(&spool, "sqlite:////elsewhere.db").store_run(&waiting, &files()).unwrap();
    assert!(tracker.is_recorded(&waiting));
}

#[test]
fn a_run_that_is_repeated_is_completed_and_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let tracking = Tracking {
        location: Location::Sqlite { database: folder.path().join("mlflow.db") },
        registry: None,
        settings: HttpConfig::default(),
        spool: folder.path().join("spool"),
        run_locks: folder.path().join("marks"),
        sampling: None,
    };
    let warn: WarningSink = Arc::new(|_| {});
    let killed = store(&folder);
    killed.begin(&record("a", RunStatus::Running)).unwrap();
    drop(killed);
    let tracker = Tracker::new(&tracking).unwrap();
    let under_way = tracker.continue_run(&record("a", RunStatus::Running), &warn);
    tracker.end(Some(under_way), &record("a", RunStatus::Finished), &files(), &warn).unwrap();
    assert_eq!(rows(&store(&folder), "SELECT run_uuid, status FROM runs"), ["a|FINISHED"]);
    assert_eq!(fs::read_dir(folder.path().join("mlruns/.running")).unwrap().count(), 0);
}

#[test]
fn a_database_that_cannot_be_written_safely_is_left_as_it_was() {
    let refused = |prepare: &dyn Fn(&std::path::Path), expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        prepare(store.database());
        let before = fs::read(store.database()).unwrap();
        let error = store.begin(&record("a", RunStatus::Running)).unwrap_err().to_string();
        let path = store.database().display().to_string();
        assert_eq!(error.replace(&path, "DB"), expected);
        assert_eq!(fs::read(store.database()).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path().join("mlruns/.running")).map_or(0, Iterator::count), 0);
    };
    let sql = |sql: &'static str| {
        move |path: &std::path::Path| {
            SqliteStore::new(path).connect().unwrap();
            Connection::open(path).unwrap().execute_batch(sql).unwrap();
        }
    };
    refused(
        &|path| {
            fs::write(
                path,
                "not a database, but text that is longer than a header of SQLite has to be, which is 100 bytes long",
            )
            .unwrap();
        },
        "DB: is not an SQLite database. Nothing was written to it; name another with --mlflow-tracking-uri",
    );
    refused(
        &|path| {
            SqliteStore::new(path).connect().unwrap();
            let mut bytes = fs::read(path).unwrap();
            bytes[100..4096].fill(0xff);
            fs::write(path, bytes).unwrap();
        },
        "DB: is damaged (database disk image is malformed). Nothing was written to it; restore it from a backup, or name another with \
         --mlflow-tracking-uri",
    );
    refused(
        &|path| Connection::open(path).unwrap().execute_batch("CREATE TABLE customers (id INTEGER)").unwrap(),
        "DB: is not a database of MLflow (it has tables, but no alembic_version). Nothing was written to it; name another with \
         --mlflow-tracking-uri",
    );
    refused(
        &sql("DROP TABLE input_tags"),
        "DB: was written by an MLflow older than 3.0 (it has no table \"input_tags\"). Nothing was written to it; upgrade it with \
         `mlflow db upgrade sqlite:///DB`",
    );
    refused(
        &sql("ALTER TABLE inputs DROP COLUMN step"),
        "DB: was written by an MLflow older than 3.0 (it has no column \"inputs.step\"). Nothing was written to it; upgrade it with \
         `mlflow db upgrade sqlite:///DB`",
    );
    refused(
        &sql("DROP TABLE tags; CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT, tenant TEXT NOT NULL)"),
        "DB: was written by a newer MLflow than this program supports (column \"tags.tenant\" is required and unknown). Nothing \
         was written to it; use a newer program",
    );
    refused(
        &sql("INSERT INTO experiments (name, lifecycle_stage) VALUES ('houses', 'deleted')"),
        "DB: experiment \"houses\" was deleted in MLflow. Restore it with `mlflow experiments restore --experiment-id 1`, or use \
         another: \
         MLFLOW_EXPERIMENT_NAME",
    );
}

#[test]
fn a_locked_database_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    store.connect().unwrap();
    let other = Connection::open(store.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = store.end(&record("a", RunStatus::Finished), &[]).unwrap_err().to_string();
    assert!(error.ends_with("mlflow.db: another program has locked it for 20 s. Nothing was written to it"), "{error}");
}

#[test]
fn a_folder_that_was_moved_is_mended() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| SqliteStore::new(&root.path().join(name).join("mlflow.db"));
    let mut moving = record("a", RunStatus::Finished);
    moving.datasets[0].source = format!("{{\"uri\":\"{}\"}}", root.path().join("old/data/featured.csv").display());
    at("old").end(&moving, &files()).unwrap();
    assert_eq!(at("old").relocate(None).unwrap().changed, []);
    fs::rename(root.path().join("old"), root.path().join("new")).unwrap();
    let moved = at("new").relocate(None).unwrap();
    let expected = [("experiments".to_owned(), 2), ("runs".to_owned(), 1), ("datasets".to_owned(), 1)];
    assert_eq!(moved.changed, expected);
    let source = |path: &str| format!("{{\"uri\":\"{path}\"}}");
    assert_eq!(
        rows(&at("new"), "SELECT dataset_source FROM datasets ORDER BY name DESC"),
        [source(&root.path().join("new/data/featured.csv").display().to_string()), source("/data/featured.csv")]
    );
    assert_eq!(moved.from.into_iter().collect::<Vec<PathBuf>>(), [root.path().join("old/mlruns")]);
    let artifacts = rows(&at("new"), "SELECT artifact_uri FROM runs").remove(0);
    assert_eq!(fs::read(PathBuf::from(artifacts).join("model/model.bin")).unwrap(), b"model");

    // a copy: both folders are there, so the user has to say which is meant
    fs::create_dir_all(root.path().join("copy/mlruns")).unwrap();
    fs::copy(root.path().join("new/mlflow.db"), root.path().join("copy/mlflow.db")).unwrap();
    let error = at("copy").relocate(None).unwrap_err().to_string();
    let new = root.path().join("new").display().to_string();
    assert!(error.ends_with(&format!("add --from {new}")), "{error}");
    let error = at("copy").relocate(Some(&root.path().join("never"))).unwrap_err().to_string();
    assert!(error.contains("no artifact is recorded in ") && error.contains("; they are recorded in "), "{error}");
    assert_eq!(at("copy").relocate(Some(&root.path().join("new"))).unwrap().changed.len(), 3);
    assert!(at("none").relocate(None).unwrap_err().to_string().ends_with("no such file; no run was recorded there"));
}

#[test]
fn runs_are_listed_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    for (place, id) in ["a", "b", "c"].into_iter().enumerate() {
        let mut record = record(id, RunStatus::Finished);
        record.start_time += place as i64;
        store.end(&record, &[]).unwrap();
    }
    let ids = |experiment, limit| {
        let runs = store.runs(experiment, limit).unwrap();
        runs.map(|runs| runs.into_iter().map(|run| run.run_id).collect::<Vec<_>>())
    };
    assert_eq!(ids(None, 2).unwrap(), ["c", "b"]);
    assert_eq!(ids(Some("houses"), 9).unwrap(), ["c", "b", "a"]);
    assert_eq!(ids(Some("Default"), 9).unwrap(), [""; 0]);
    assert_eq!(ids(Some("boats"), 9), None);
    let run = store.runs(None, 1).unwrap().unwrap().remove(0);
    assert_eq!((run.experiment.as_str(), run.experiment_id.as_str(), run.metrics.get("r2")), ("houses", "1", Some(&0.9)));
}
