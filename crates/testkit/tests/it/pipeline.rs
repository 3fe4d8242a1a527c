//! The four stages, end to end.

use crate::{
    ENGINEER, PACKAGE, PROCESS, TRAIN, houses, model_config,
    snapshot::{Transcript, assert_text},
};
use testkit::{Workspace, repository};

fn column(table: &str, name: &str) -> Vec<f64> {
    let mut lines = table.lines();
    let place = lines.next().unwrap().split(',').position(|column| column == name).unwrap();
    lines.map(|line| line.split(',').nth(place).unwrap().parse().unwrap()).collect()
}

#[test]
fn the_shipped_table_is_the_generators() {
    let shipped = std::fs::read(repository().join("data/raw/house_data.csv")).unwrap();
    assert_eq!(houses(2000).bytes("raw.csv"), shipped);
}

#[test]
fn a_raw_table_becomes_a_packaged_model() {
    let workspace = houses(2000);
    let mut transcript = Transcript::default();
    // the second time there is nothing to do
    for line in [PROCESS, ENGINEER, TRAIN, PACKAGE, PROCESS, ENGINEER, TRAIN, PACKAGE] {
        assert_eq!(transcript.run(&workspace, line).code, 0);
    }
    for line in ["package verify", "serve check --model"] {
        assert_eq!(transcript.run(&workspace, &format!("{line} {}", crate::bundle(&workspace))).code, 0);
    }
    transcript
        .run(&workspace, "train predict --models-dir models --input raw.csv --output p.csv --intervals --contributions");
    transcript.run(&workspace, "train runs");
    assert_text!(transcript.text);
    let record = workspace.json("models/trained/metrics.json");
    let metric = |key: &str| {
        let points = record["metrics"].as_array().unwrap();
        points.iter().find(|point| point["key"] == key && point["step"] == 0).unwrap()["value"].as_f64().unwrap()
    };
    assert!(metric("r2") > 0.93 && metric("cv_r2") > 0.93, "r2 {} cv {}", metric("r2"), metric("cv_r2"));
    assert!(metric("mae") < 0.2 * metric("baseline_mae"));
    let interval = &record["intervals"]["r2"];
    assert!(interval["low"].as_f64().unwrap() < metric("r2") && metric("r2") < interval["high"].as_f64().unwrap());
    assert_eq!(record["parameters"]["random_state"], 42);
    assert_eq!(record["parameters"]["feature_set"], "rfe");
    let folds =
        record["metrics"].as_array().unwrap().iter().filter(|point| point["key"] == "fold/mae" && point["step"] != 0);
    assert_eq!(folds.count(), 5);
}

/// What is measured is what is predicted: the raw rows behind the test rows, through the preprocessor and the model as a user
/// would send them, give the predictions on which the metrics stand, to the last digit.
#[test]
fn raw_rows_are_predicted_as_they_were_measured() {
    let workspace = houses(2000);
    let mut transcript = Transcript::default();
    let mut run = |line: &str| assert_eq!(transcript.run(&workspace, &format!("{line} --output-format json")).code, 0);
    [PROCESS, ENGINEER, TRAIN, PACKAGE].into_iter().for_each(&mut run);
    for line in ["package verify", "serve check --model"] {
        run(&format!("{line} {}", crate::bundle(&workspace)));
    }
    let cleaned = workspace.read("cleaned.csv");
    let mut lines = cleaned.lines();
    let mut raw = lines.next().unwrap().strip_suffix(",split").unwrap().to_owned() + "\n";
    for line in lines.filter_map(|line| line.strip_suffix(",test")) {
        raw.push_str(&format!("{line}\n"));
    }
    workspace.write("test_rows.csv", raw);
    run("train predict --models-dir models --input test_rows.csv --output predicted.csv");
    let measured = column(&workspace.read("models/trained/predictions.csv"), "y_pred");
    assert!(measured.len() > 300);
    assert_eq!(column(&workspace.read("predicted.csv"), "prediction"), measured);

    let without_target: String =
        workspace.read("test_rows.csv").lines().map(|line| line.split_once(',').unwrap().1.to_owned() + "\n").collect();
    workspace.write("rows.csv", without_target);
    workspace.ok(&format!("train predict --models-dir {} --input rows.csv --output again.csv", crate::bundle(&workspace)));
    assert_eq!(column(&workspace.read("again.csv"), "prediction"), measured);
    assert_text!(transcript.text);
}

#[test]
fn rows_that_break_the_schema_are_not_predicted() {
    let workspace = houses(500);
    run_all_without_gate(&workspace);
    let header = "sqft,bedrooms,bathrooms,location,year_built,condition";
    workspace.write(
        "rows.csv",
        format!("{header}\n1800,3,2,suburban,1990,GOOD\n1800,3,2,Atlantis,1990,Good\n1e12,3,2,Urban,1990,Good\n,,,,,\n"),
    );
    let stderr = workspace.run("train predict --models-dir models --input rows.csv --output p.csv").stderr;
    assert_eq!(stderr, "warning: 2 invalid rows are in p.csv.quarantine.csv\n");
    assert_eq!(workspace.read("p.csv").lines().count(), 3);
    assert_eq!(
        workspace.read("p.csv.quarantine.csv"),
        "line,column,value,reason,record\n\
         3,location,Atlantis,\"\"\"Atlantis\"\" is not one of the levels Downtown, Mountain, Rural, Suburb, Urban, Waterfront\",\
         \"1800,3,2,Atlantis,1990,Good\"\n\
         4,sqft,1e12,1000000000000 is above the maximum 20000,\"1e12,3,2,Urban,1990,Good\"\n"
    );
    workspace.write("bad.csv", format!("{header}\n1800,3,2,Atlantis,1990,Good\n"));
    let stderr = workspace.fails(1, "train predict --models-dir models --input bad.csv --output q.csv");
    assert_eq!(stderr, "error: bad.csv: none of its 1 rows is valid; the reasons are in q.csv.quarantine.csv\n");
    assert!(!workspace.path("q.csv").exists());
}

fn run_all_without_gate(workspace: &Workspace) {
    [PROCESS, ENGINEER, TRAIN].iter().for_each(|line| {
        workspace.ok(line);
    });
}

#[test]
fn an_unchanged_stage_does_nothing_and_a_changed_one_runs() {
    let workspace = houses(500);
    workspace.write("model.yaml", model_config("Ridge", ""));
    let train = "train --config model.yaml --data featured.csv --models-dir models";
    let status = |line: &str| workspace.ok(line).split_whitespace().nth(1).unwrap().to_owned();
    for line in [PROCESS, ENGINEER, train] {
        assert_eq!(status(line), "done:", "{line}");
    }
    let before = workspace.bytes("models/trained/metrics.json");
    for line in [PROCESS, ENGINEER, train] {
        assert_eq!(status(line), "unchanged:", "{line}");
    }
    assert_eq!(workspace.bytes("models/trained/metrics.json"), before);
    assert_eq!(status(&format!("{PROCESS} --force")), "done:");

    // a stage's own settings, and no other's, make it run again
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replace("reference_year: 2026", "reference_year: 2027"));
    assert_eq!(status(PROCESS), "unchanged:");
    assert_eq!(status(ENGINEER), "done:");
    assert_eq!(status(train), "done:");
    // an output that was tampered with is written again
    workspace.write("cleaned.csv", "price\n1\n");
    assert_eq!(status(PROCESS), "done:");
    assert_eq!(status(ENGINEER), "unchanged:");
}

#[test]
fn csv_and_parquet_are_interchangeable() {
    let workspace = houses(500);
    run_all_without_gate(&workspace);
    workspace.ok("process --input raw.csv --output cleaned.parquet");
    workspace
        .ok("engineer --input cleaned.parquet --output featured.parquet --preprocessor p/models/trained/preprocessor.bin");
    workspace.ok("train --config configs/model_config.yaml --data featured.parquet --models-dir p/models");
    let preprocessor = workspace.bytes("models/trained/preprocessor.bin");
    assert_eq!(preprocessor, workspace.bytes("p/models/trained/preprocessor.bin"));
    assert_eq!(workspace.bytes("models/trained/model.bin"), workspace.bytes("p/models/trained/model.bin"));
    // a Parquet table as raw input
    workspace.ok("train predict --models-dir models --input raw.csv --output predicted.parquet");
    let stderr = workspace.fails(2, "process --input predicted.parquet --output again.csv");
    assert!(stderr.contains("column \"prediction\" is not in the schema"), "{stderr}");
}

#[test]
fn results_come_as_one_json_line_on_stdout_and_all_else_on_stderr() {
    let workspace = houses(500);
    let run = workspace.run(&format!("{PROCESS} --output-format json -v"));
    assert_eq!(run.stdout.lines().count(), 1);
    let result: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&result["stage"], &result["status"], &result["rows"]["in"]),
        (&"process".into(), &"done".into(), &500.into())
    );
    let mut transcript = Transcript::default();
    transcript.add(&format!("{PROCESS} --output-format json -v"), &run);
    assert_text!(transcript.text);
    let quiet = workspace.run(&format!("{PROCESS} --force -q"));
    assert_eq!(quiet.stderr, "");
}

#[test]
fn the_dump_of_a_scikit_learn_model_is_a_configuration() {
    let workspace = houses(500);
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    let parameters = [
        "alpha: 0.9",
        "ccp_alpha: 0.0",
        "criterion: friedman_mse",
        "init: null",
        "learning_rate: 0.1",
        "loss: squared_error",
        "max_depth: 3",
        "max_features: null",
        "max_leaf_nodes: null",
        "min_impurity_decrease: 0.0",
        "min_samples_leaf: 1",
        "min_samples_split: 2",
        "min_weight_fraction_leaf: 0.0",
        "n_estimators: 100",
        "n_iter_no_change: null",
        "random_state: null",
        "subsample: 1.0",
        "tol: 0.0001",
        "validation_fraction: 0.1",
        "verbose: 0",
        "warm_start: false",
    ]
    .map(|line| format!("    {line}\n"))
    .concat();
    let extra = format!(
        "  mae: 10680.8\n  r2_score: 0.9955\n  feature_sets:\n    rfe: ['0', '1', '5', '14']\n  parameters:\n{parameters}"
    );
    workspace.write("dump.yaml", model_config("GradientBoosting", &extra));
    let run = workspace.run("train --config dump.yaml --data featured.csv --models-dir models");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        run.stderr,
        "warning: parameters.random_state is null: the seed 42 is used, so that the run is reproducible\n\
         warning: model.mae is a result, not a setting, and is ignored (results are in metrics.json)\n\
         warning: model.r2_score is a result, not a setting, and is ignored (results are in metrics.json)\n\
         warning: the target is skewed (2.5; its logarithm 0.5) and errors grow with the prediction (rank correlation 0.52): try target_transform: \
         log\n"
    );
    let features = workspace.json("models/trained/metrics.json")["features"].to_string();
    assert_eq!(features, r#"["sqft","bedrooms","bed_bath_ratio","condition=Good"]"#);
}

#[test]
fn a_table_that_misses_the_gate_is_not_packaged() {
    let workspace = houses(500);
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replace("r2: {min: 0.9}", "r2: {min: 0.9999}"));
    run_all_without_gate(&workspace);
    let mut transcript = Transcript::default();
    assert_eq!(transcript.run(&workspace, PACKAGE).code, 1);
    assert!(!workspace.path("packaged").exists());

    workspace.write("configs/pipeline.yaml", config.replace("r2: {min: 0.9}", "auc: {min: 0.9}"));
    transcript.note("a gate of a metric that the run does not have");
    assert_eq!(transcript.run(&workspace, PACKAGE).code, 2);
    assert_text!(transcript.text);
}
