//! Logged and registered models, looked at with SQL and read back.

use std::fs;

use artifact::RunStatus;

use crate::{
    entities::{
        registry::{AliasChange, CHALLENGER, Registry, alias_history, move_alias, previous_version},
        run::{LoggedModel, Registration, Run},
        store::{ArtifactContent, RunFile, RunStore},
    },
    sqlite::tests::{record, rows, store},
    tracker::spool::Spool,
};

/// A run that made a model, which is registered.
fn with_model(id: &str, created: i64) -> (Run, Vec<RunFile>) {
    let model_id = format!("m-{id}");
    let mut run = record(id, RunStatus::Finished);
    run.models.push(LoggedModel {
        model_id: model_id.clone(),
        name: "houses".into(),
        model_type: "regressor".into(),
        step: 0,
        created,
        ready: true,
        params: run.params.clone(),
        tags: [("fact".to_owned(), "x".to_owned())].into(),
    });
    let dataset = (run.datasets[1].name.clone(), run.datasets[1].digest.clone());
    let r2 = run.metrics.iter_mut().find(|metric| metric.key == "r2").unwrap();
    (r2.model_id, r2.dataset) = (Some(model_id.clone()), Some(dataset));
    run.registrations.push(Registration {
        name: "houses".into(),
        model_id: model_id.clone(),
        description: "a model".into(),
        tags: [("r2".to_owned(), "0.9".to_owned())].into(),
        aliases: vec![CHALLENGER.into()],
        created,
    });
    let text = format!("flavors:\n  ours: {{}}\nmodel_id: {model_id}\nutc_time_created: now\n");
    let file = |place, text: &str| RunFile::of_model(&model_id, place, ArtifactContent::Bytes(text.as_bytes().to_vec()));
    (run.clone(), vec![file("MLmodel", &text), file("model.bin", "model")])
}

#[test]
fn a_model_is_logged_registered_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let here = folder.path().display();
    for (id, created) in [("a", 5_000), ("b", 6_000)] {
        let (run, files) = with_model(id, created);
        // once more changes nothing
        for _ in 0..2 {
            let version = if id == "a" { "1" } else { "2" };
            assert_eq!(store.end(&run, &files).unwrap().versions, [("houses".to_owned(), version.to_owned())]);
        }
        let stored = store.stored_run(id).unwrap();
        assert_eq!(stored.run.models, run.models);
        let mut registrations = run.registrations.clone();
        registrations[0].aliases.clear();
        assert_eq!(stored.run.registrations, registrations);
        let linked = stored.run.metrics.iter().find(|metric| metric.key == "r2").unwrap();
        assert_eq!(linked, run.metrics.iter().find(|metric| metric.key == "r2").unwrap());
        let places: Vec<String> = stored.files().unwrap().into_iter().map(|file| file.artifact_path).collect();
        assert_eq!(places, ["MLmodel", "model.bin"]);
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("mlruns/1/models/m-a/artifacts/MLmodel")).unwrap(),
        format!(
            "flavors:\n  ours: {{}}\nmodel_id: m-a\nutc_time_created: now\nartifact_path: {here}/mlruns/1/models/m-a/artifacts\n\
             model_uuid: m-a\nrun_id: a\n"
        )
    );
    let tag = "SELECT tag_value FROM logged_model_tags WHERE tag_key = 'mlflow.modelVersions' ORDER BY model_id";
    let version = |number: u32| format!("[{{\"name\": \"houses\", \"version\": {number}}}]");
    assert_eq!(rows(&store, tag), [version(1), version(2)]);

    let model = store.model("houses").unwrap().unwrap();
    assert_eq!(model.aliases.get(CHALLENGER).map(String::as_str), Some("2"));
    let known = alias_history(&model, CHALLENGER);
    assert_eq!(
        known.iter().map(|moved| (moved.at, moved.version.as_str())).collect::<Vec<_>>(),
        [(5_000, "1"), (6_000, "2")]
    );
    assert_eq!(previous_version(&model, CHALLENGER).as_deref(), Some("1"));
    let moved = AliasChange { at: 7_000, version: "1".into(), from: Some("2".into()), why: "rolled back".into(), by: None };
    move_alias(&store, "houses", CHALLENGER, &moved).unwrap();
    let model = store.model("houses").unwrap().unwrap();
    assert_eq!((model.aliases[CHALLENGER].as_str(), alias_history(&model, CHALLENGER).last()), ("1", Some(&moved)));
    let versions = store.versions("houses").unwrap();
    assert_eq!(versions.iter().map(|version| version.version.as_str()).collect::<Vec<_>>(), ["2", "1"]);
    assert_eq!(versions[0].model_id.as_deref(), Some("m-b"));
    let copy = folder.path().join("copy.bin");
    store.fetch(&versions[1], "model.bin", &copy).unwrap();
    assert_eq!(fs::read(copy).unwrap(), b"model");
    assert_eq!(store.model("boats").unwrap(), None);
}

#[test]
fn a_run_that_waits_keeps_its_models() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let spool = Spool::new(&folder.path().join("spool"), &store.uri());
    let (run, files) = with_model("a", 5_000);
    spool.store_run(&run, &files).unwrap();
    assert_eq!(spool.deliver(&store).unwrap().runs, 1);
    let stored = store.stored_run("a").unwrap();
    assert_eq!(stored.run.models, run.models);
    assert_eq!(stored.files().unwrap().len(), 2);
}
