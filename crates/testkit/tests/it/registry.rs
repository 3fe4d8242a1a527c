//! Registered models: who is the champion, who was, and how they get to a server later.

use std::fs;

use serde_json::{Value, json};

use crate::{
    mlflow::read,
    model_config,
    remote::{TRAIN, ready, run_with},
    server::{NEWEST, Server},
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
        let refusal = workspace.fails(if store.is_empty() { 2 } else { 1 }, &promote);
        assert!(
            store.is_empty() || refusal.contains("has no registered model \"m\"; `train --register` registers one"),
            "{refusal}"
        );

        workspace.ok(&format!("{TRAIN} --force --register {store}"));
        // thresholds first
        workspace.write("closed.yaml", gate.replace("r2: {min: 0.9}", "r2: {min: 0.9999}"));
        let stderr = workspace.fails(1, &promote.replace("open.yaml", "closed.yaml"));
        assert!(
            stderr.starts_with("error: package.gate.r2: 0.")
                && stderr.ends_with("is below the minimum 0.9999. The champion stays\n"),
            "{stderr}"
        );
        let said = workspace.ok(&promote);
        assert!(said.starts_with("promote   done: version 1 of m is the champion\n"), "{said}");
        assert!(workspace.ok(&promote).starts_with("promote   unchanged: version 1 of m is already the champion"));

        // a worse one: it knows two features
        let worse = "  feature_sets: {few: [bedrooms, bathrooms]}\n  target_transform: log\n";
        workspace.write("worse.yaml", model_config("Ridge", worse));
        workspace.ok(&format!("{TRAIN} --register {store}").replace("model.yaml", "worse.yaml"));
        assert_eq!(aliases(), json!({"challenger": "2", "champion": "1"}));
        let run = workspace.run(&promote);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(
            run.stdout.contains("against")
                && run.stdout.contains("of version 1 on ")
                && run.stdout.contains("95 % interval +"),
            "{}",
            run.stdout
        );
        assert!(
            run.stderr.starts_with("error: worse than the champion by more than package.champion.margin (0): MAE "),
            "{}",
            run.stderr
        );
        assert_eq!(aliases()["champion"], "1");

        // with a margin that is wide enough it may
        workspace.write("wide.yaml", format!("{}  champion: {{metric: mae, margin: 99}}\n", workspace.read("open.yaml")));
        workspace.ok(&promote.replace("open.yaml", "wide.yaml"));
        assert_eq!(aliases()["champion"], "2");
        // and the first is better than it
        let better = workspace.ok(&format!("{promote} --version 1"));
        assert!(
            better.contains("promote   done: version 1 of m is the champion") && better.contains("difference -"),
            "{better}"
        );
        let said = workspace.ok(&format!("train rollback --name m --reason gone {store}"));
        assert_eq!(said, "rollback  done: version 2 of m is the champion again, instead of version 1\n");
        workspace.ok(&format!("train rollback --name m {store}"));
        assert_eq!(aliases(), json!({"challenger": "2", "champion": "1"}));
        let stderr = workspace.fails(1, &format!("train rollback --name m {store}"));
        assert!(stderr.starts_with("error: m: there is no previous champion"), "{stderr}");

        let listed = workspace.ok(&format!("train versions --name m {store}"));
        let moves: Vec<&str> = listed.lines().filter(|line| line.contains(" UTC  version ")).collect();
        assert_eq!(moves.len(), 5, "{listed}");
        assert!(
            moves[0].contains(": promoted: there was no champion") && moves[3].ends_with(": rolled back: gone"),
            "{listed}"
        );
        let now = workspace.ok(&format!("train versions --name m --at 2099-01-01 {store}"));
        assert!(now.starts_with("version 1 since 20") && now.trim_end().ends_with(": rolled back"), "{now}");
        let stderr = workspace.fails(1, &format!("train versions --name m --at 2020-01-01 {store}"));
        assert_eq!(stderr, "error: m: had no champion at that time, according to its history\n");
        let stderr = workspace.fails(1, &format!("{promote} --version 7"));
        assert!(stderr.starts_with("error: m: there is no version 7; the versions are 1, 2"), "{stderr}");
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
