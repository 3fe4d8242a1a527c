//! Registered models: who is the champion, who was, and how they get to a server later.

use std::fs;

use serde_json::{Value, json};

use crate::{
    mlflow::read,
    model_config,
    remote::{TRAIN, ready, run_with},
    server::{NEWEST, Server},
    snapshot::{Transcript, assert_text},
};

#[test]
fn a_champion_is_replaced_only_by_one_that_is_no_worse_and_can_be_put_back() {
    let workspace = ready(800);
    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    let gate = fs::read_to_string(workspace.path("configs/pipeline.yaml")).unwrap();
    workspace.write("open.yaml", gate.replace("r2: {min: 0.9}", "r2: {min: 0.5}").replace("max: 0.12", "max: 0.9"));
    for store in [format!("--mlflow-tracking-uri {}", server.uri), String::new()] {
        let promote = format!("train promote --name m --data cleaned.csv --pipeline-config open.yaml {store}");
        let aliases = || {
            let listing = workspace.ok(&format!("train versions --name m --output-format json {store}"));
            serde_json::from_str::<Value>(&listing).unwrap()["aliases"].clone()
        };
        let mut transcript = Transcript::default();
        let mut run = |code: i32, line: &str| assert_eq!(transcript.run(&workspace, line.trim_end()).code, code, "{line}");
        run(if store.is_empty() { 2 } else { 1 }, &promote);

        workspace.ok(&format!("{TRAIN} --force --register {store}"));
        // thresholds first
        workspace.write("closed.yaml", gate.replace("r2: {min: 0.9}", "r2: {min: 0.9999}"));
        run(1, &promote.replace("open.yaml", "closed.yaml"));
        run(0, &promote);
        run(0, &promote);

        // a worse one: it knows two features
        let worse = "  feature_sets: {few: [bedrooms, bathrooms]}\n  target_transform: log\n";
        workspace.write("worse.yaml", model_config("Ridge", worse));
        workspace.ok(&format!("{TRAIN} --register {store}").replace("model.yaml", "worse.yaml"));
        assert_eq!(aliases(), json!({"challenger": "2", "champion": "1"}));
        run(1, &promote);
        assert_eq!(aliases()["champion"], "1");

        // with a margin that is wide enough it may
        workspace.write("wide.yaml", format!("{}  champion: {{metric: mae, margin: 99}}\n", workspace.read("open.yaml")));
        run(0, &promote.replace("open.yaml", "wide.yaml"));
        assert_eq!(aliases()["champion"], "2");
        // and the first is better than it
        run(0, &promote.replace("promote", "promote --version 1"));
        run(0, &format!("train rollback --name m --reason gone {store}"));
        run(0, &format!("train rollback --name m {store}"));
        assert_eq!(aliases(), json!({"challenger": "2", "champion": "1"}));
        run(1, &format!("train rollback --name m {store}"));
        run(0, &format!("train versions --name m {store}"));
        run(0, &format!("train versions --name m --at 2099-01-01 {store}"));
        run(1, &format!("train versions --name m --at 2020-01-01 {store}"));
        run(1, &promote.replace("promote", "promote --version 7"));
        assert_text!(if store.is_empty() { "file" } else { "server" }, transcript.text);
    }
}

#[test]
fn what_was_recorded_without_a_server_is_sent_with_its_models_and_promotions() {
    let workspace = ready(500);
    workspace.write("open.yaml", workspace.read("configs/pipeline.yaml").replace("r2: {min: 0.9}", "r2: {min: 0.5}"));
    workspace.ok(&format!("{TRAIN} --register"));
    let parent = workspace.json("models/trained/metrics.json")["identity"]["run_id"].as_str().unwrap().to_owned();
    workspace.ok("train promote --name m --data cleaned.csv --pipeline-config open.yaml");
    workspace.ok(&format!("{TRAIN} --force --register --parent-run {parent}"));
    workspace.write("wrong.yaml", model_config("Ridge", "  feature_sets: {few: [atlantis]}\n"));
    workspace.fails(2, &format!("{TRAIN} --force").replace("model.yaml", "wrong.yaml"));
    let before = read(&workspace, NEWEST, "sqlite:///mlflow.db");

    let server = Server::start_in(&workspace, "server", NEWEST, &[]);
    let sync = format!("train sync --mlflow-tracking-uri {}", server.uri);
    let said = workspace.ok(&sync);
    assert!(said.starts_with(&format!("sync      done: 3 runs sent to {}, 0 already there\n", server.uri)), "{said}");
    assert!(
        said.contains("→ version 1 of m\n") && said.contains("→ version 2 of m\n") && said.contains("alias changes sent: 3"),
        "{said}"
    );
    let after = read(&workspace, NEWEST, &server.uri);
    let (ours, theirs) = (&before["experiments"]["m"], &after["experiments"]["m"]);
    for (ours, theirs) in ours.as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
        let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
        assert_eq!(theirs["tags"]["client.run_id"], ours["run_id"]);
        for run in [&mut ours, &mut theirs] {
            let id = run["run_id"].clone();
            for model in run["models"].as_array_mut().unwrap() {
                assert_eq!(model["source_run_id"], id);
                let model = model.as_object_mut().unwrap();
                // what names this store or that one
                ["source_run_id", "model_id"].iter().for_each(|own| drop(model.remove(*own)));
                let tags = model["tags"].as_object_mut().unwrap();
                ["client.model_id", "mlflow.modelVersions"].iter().for_each(|own| drop(tags.remove(*own)));
                model["artifacts"].as_object_mut().unwrap().remove("MLmodel");
            }
            let run = run.as_object_mut().unwrap();
            run.remove("run_id");
            let tags = run["tags"].as_object_mut().unwrap();
            ["client.run_id", "mlflow.parentRunId"].iter().for_each(|own| drop(tags.remove(*own)));
        }
        assert_eq!(theirs, ours);
    }
    // the child is under the parent's id there
    assert_eq!(theirs[1]["tags"]["mlflow.parentRunId"], theirs[0]["run_id"]);
    assert_eq!(theirs[2]["status"], "FAILED");
    let (ours, theirs) = (&before["registry"]["m"], &after["registry"]["m"]);
    assert_eq!(theirs["aliases"], json!({"challenger": "2", "champion": "1"}));
    assert_eq!(theirs["tags"], ours["tags"], "the history of the aliases, with its times");
    assert_eq!(theirs["versions"][0]["description"], ours["versions"][0]["description"]);

    // once more, and after a promotion
    assert_eq!(workspace.ok(&sync), format!("sync      unchanged: 0 runs sent to {}, 3 already there\n", server.uri));
    workspace.write("wide.yaml", format!("{}  champion: {{margin: 9}}\n", workspace.read("open.yaml")));
    workspace.ok("train promote --name m --data cleaned.csv --pipeline-config wide.yaml");
    assert!(workspace.ok(&sync).contains("alias changes sent: 1"));
    let there = server.get_json("/api/2.0/mlflow/registered-models/get?name=m")["registered_model"]["aliases"].clone();
    assert!(there.as_array().unwrap().contains(&json!({"alias": "champion", "version": "2"})), "{there}");

    assert_eq!(
        workspace.fails(2, "train sync"),
        "error: no server to send to: name one with --mlflow-tracking-uri http://HOST:PORT or MLFLOW_TRACKING_URI (currently \
         mlflow.db)\n"
    );
    let stderr = workspace.fails(1, &format!("{sync} --from sqlite:///none.db"));
    assert!(stderr.ends_with("none.db: no such file; no run was recorded there\n"), "{stderr}");
    drop(server);
    let run = run_with(&workspace, &sync, &[]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("sent runs are kept; the next `train sync` continues from there")
            && run.stderr.contains("Check the address, and that the server runs"),
        "{}",
        run.stderr
    );
}
