//! Which model answers: another one is taken in while requests are answered, and two are compared.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::json;
use testkit::Workspace;

use crate::{
    PACKAGE, bundle, model_config,
    served::{Served, a_house, answer, packaged},
};

/// Trains and packages another model of the same table; returns its bundle.
fn another(workspace: &Workspace, trees: u32) -> String {
    let parameters = format!(
        "  target_transform: log\n  parameters: {{n_estimators: {trees}, random_state: 1}}\n  cross_validation: {{folds: 3}}\n"
    );
    workspace.write("m.yaml", model_config("GradientBoosting", &parameters));
    fs::rename(workspace.path("packaged"), workspace.path(&format!("before-{trees}"))).unwrap();
    workspace.ok("train --config m.yaml --data featured.csv --models-dir models");
    workspace.ok(PACKAGE);
    let folder = bundle(workspace);
    fs::rename(workspace.path(&folder), workspace.path(&format!("other-{trees}"))).unwrap();
    format!("other-{trees}")
}

/// Lets `live` lead to a bundle from now on, at once.
fn point(workspace: &Workspace, to: &str) {
    std::os::unix::fs::symlink(workspace.path(to), workspace.path("new-link")).unwrap();
    fs::rename(workspace.path("new-link"), workspace.path("live")).unwrap();
}

#[test]
fn another_model_is_taken_in_and_no_request_fails() {
    let workspace = packaged(500);
    fs::rename(workspace.path(&bundle(&workspace)), workspace.path("first")).unwrap();
    fs::create_dir_all(workspace.path("packaged/x")).unwrap();
    let second = another(&workspace, 12);
    point(&workspace, "first");
    let served = Served::of(&workspace, "--model live --log-requests failed", &[]);
    let first_price = served.predict(&a_house());
    let version = |served: &Served| served.get("/model").1["version"].clone();
    let first_version = version(&served);

    let (stop, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let (status, reply) = served.post("/predict", &a_house());
                    assert_eq!(status, 200, "{reply}");
                    // an answer is one model's
                    let of_first = reply["model_version"] == first_version;
                    assert_eq!(reply["predicted_price"] == first_price, of_first, "{reply}");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for turn in 1..=20 {
            point(&workspace, if turn % 2 == 1 { &second } else { "first" });
            served.signal("HUP");
            served.wait("another model", |served| {
                served.metric("hpp_model_reloads_total{reason=\"loaded\"}") == f64::from(turn)
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answers.load(Ordering::Relaxed) > 100);
    assert_eq!(version(&served), first_version);

    // a model that is damaged, or of another table, is not loaded
    fs::create_dir(workspace.path("broken")).unwrap();
    for entry in fs::read_dir(workspace.path("first")).unwrap().flatten() {
        fs::copy(entry.path(), workspace.path("broken").join(entry.file_name())).unwrap();
    }
    let mut bytes = workspace.bytes("broken/model.bin");
    bytes[100] ^= 1;
    workspace.write("broken/model.bin", bytes);
    let manifest = workspace.read("broken/manifest.json");
    workspace.write("broken/manifest.json", format!("{manifest} "));
    point(&workspace, "broken");
    served.signal("HUP");
    served.wait("a refusal", |served| served.metric("hpp_model_reloads_total{reason=\"refused\"}") == 1.0);
    assert_eq!(served.predict(&a_house()), first_price);
    served.wait("a line of the log", |served| {
        served.log().contains("model reload failed; still serving the previous version")
    });
    let log = served.log();
    assert_eq!(log.matches("is not a valid bundle: model.bin has changed").count(), 1, "{log}");
    point(&workspace, &second);
    served.signal("HUP");
    served.wait("a sound model", |served| served.metric("hpp_model_reloads_total{reason=\"loaded\"}") == 21.0);

    // it is said once, however often it is looked at
    let polling = Served::of(&workspace, "--model live --log-requests none --poll 0.01", &[]);
    point(&workspace, "broken");
    polling.wait("a refusal", |served| served.metric("hpp_model_reloads_total{reason=\"refused\"}") >= 1.0);
    let said = polling.metric("hpp_model_reloads_total{reason=\"refused\"}");
    (0..300).for_each(|_| assert_eq!(polling.post("/predict", &a_house()).0, 200));
    assert_eq!(polling.metric("hpp_model_reloads_total{reason=\"refused\"}"), said);
}

#[test]
fn a_registered_model_is_served_and_a_moved_alias_followed() {
    let workspace = packaged(500);
    let uri = "--mlflow-tracking-uri sqlite:///mlflow.db";
    let train = |config: &str| {
        workspace.ok(&format!("train --config {config} --data featured.csv --models-dir models --register --force {uri}"))
    };
    train("m.yaml");
    let promote = |version: u32| {
        workspace
            .ok(&format!("train promote --name m --version {version} --data cleaned.csv --pipeline-config p.yaml {uri}"))
    };
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("p.yaml", config.replace("package:\n", "package:\n  champion: {margin: 100}\n"));
    let fails = workspace.fails(1, &format!("serve --model models:/m@champion {uri} --listen 127.0.0.1:0"));
    assert_eq!(fails, "error: m: no version has the alias `champion`; its aliases: challenger\n");
    promote(1);
    workspace.write("n.yaml", model_config("Ridge", "  target_transform: log\n  cross_validation: {folds: 3}\n"));
    train("n.yaml");

    let served = Served::of(&workspace, &format!("--model models:/m@champion {uri} --poll 0.05"), &[]);
    let first = served.predict(&a_house());
    let model = served.get("/model").1;
    assert_eq!((&model["version"], &model["algorithm"]), (&json!("1"), &json!("GradientBoosting")));
    // of one row nothing is known yet
    let drift = &model["drift"];
    assert_eq!((&drift["rows"], &drift["rows_needed"], &drift["columns"]["sqft"]), (&json!(1), &json!(90), &json!(null)));
    let by_number = Served::of(&workspace, &format!("--model models:/m/2 {uri}"), &[]);
    promote(2);
    served.wait("the new champion", |served| served.get("/model").1["version"] == "2");
    let second = served.predict(&a_house());
    assert_ne!(first, second);
    assert_eq!(by_number.predict(&a_house()), second);
    workspace.ok(&format!("train rollback --name m {uri}"));
    served.wait("the old champion", |served| served.predict(&a_house()) == first);

    for (model, code, message) in [
        ("models:/m/9", 1, "m: there is no version 9; the versions are 1, 2"),
        ("models:/other@champion", 1, "mlflow.db: has no registered model \"other\"; `train --register` registers one"),
        ("models:/m", 2, "models:/m: write models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("nowhere", 2, "nowhere: no such file. Name the folder of a bundle or its .tar.gz"),
        ("m.yaml", 1, "m.yaml: is not a valid bundle: invalid gzip header"),
    ] {
        let said = workspace.fails(code, &format!("serve --model {model} {uri} --listen 127.0.0.1:0"));
        assert_eq!(said, format!("error: {message}\n"));
    }
}

#[test]
fn a_challenger_is_compared_in_the_background_or_answers_its_share() {
    let workspace = packaged(500);
    fs::rename(workspace.path(&bundle(&workspace)), workspace.path("first")).unwrap();
    fs::create_dir_all(workspace.path("packaged/x")).unwrap();
    let second = another(&workspace, 12);
    let of_role = |served: &Served, role: &str| {
        let request =
            served.request("/predict", "application/json", a_house().to_string()).header("x-model", role.to_owned());
        answer(request)
    };
    let served = Served::of(&workspace, &format!("--model first --challenger {second}"), &[]);
    let (champion, challenger) = (of_role(&served, "champion").1, of_role(&served, "challenger").1);
    assert_eq!((&champion["model_role"], &challenger["model_role"]), (&json!("champion"), &json!("challenger")));
    let difference = (champion["predicted_price"].as_f64().unwrap() - challenger["predicted_price"].as_f64().unwrap()).abs();
    assert!(difference > 0.0);
    (0..20).for_each(|_| assert_eq!(served.post("/predict", &a_house()).1["model_role"], "champion"));
    served.wait("the comparison", |served| served.metric("hpp_predictions_total{role=\"shadow\"}") == 21.0);
    assert_eq!(served.metric("hpp_shadow_absolute_difference_count"), 21.0);
    let sum = served.metric("hpp_shadow_absolute_difference_sum");
    assert!((sum / (21.0 * difference) - 1.0).abs() < 1e-9, "{sum} {difference}");
    assert_eq!(of_role(&served, "best").0, 400);
    let inputs = json!({"inputs": [{"name": "sqft", "datatype": "INT32", "shape": [1, 1], "data": [1527]}]});
    let version = challenger["model_version"].as_str().unwrap();
    let reply = served.post(&format!("/v2/models/m/versions/{version}/infer"), &inputs).1;
    assert_eq!(reply["model_version"], version, "{reply}");
    assert_eq!(served.post("/v2/models/m/infer", &inputs).1["model_version"], champion["model_version"]);

    let flags = format!("--model first --challenger {second} --challenger-share 0.3 --challenger-key x-user");
    let served = Served::of(&workspace, &flags, &[]);
    let role = |user: usize| {
        let request =
            served.request("/predict", "application/json", a_house().to_string()).header("x-user", format!("user {user}"));
        answer(request).1["model_role"].clone()
    };
    let roles: Vec<_> = (0..300).map(role).collect();
    let share = roles.iter().filter(|role| **role == "challenger").count();
    assert!((60..=120).contains(&share), "{share} of 300");
    // a caller keeps his model
    assert!((0..300).step_by(7).all(|user| role(user) == roles[user]));
    assert_eq!(served.get("/model").1["challenger"]["share"], 0.3);

    let alone = Served::of(&workspace, "--model first", &[]);
    assert_eq!(of_role(&alone, "challenger").1["error"], "x-model: this server has no challenger");
}
