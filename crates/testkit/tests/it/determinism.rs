//! Same input, same bytes: at any number of threads, in any folder.

use crate::{ENGINEER, PACKAGE, PROCESS, bundle, houses};
use testkit::Workspace;

const FILES: [&str; 10] = [
    "cleaned.csv",
    "cleaned.csv.quarantine.csv",
    "cleaned.csv.report.json",
    "cleaned.csv.report.html",
    "featured.csv",
    "models/trained/preprocessor.bin",
    "models/trained/model.bin",
    "models/trained/predictions.csv",
    "models/trained/report.html",
    "bundle.tar.gz",
];

fn files(config: &str, threads: &str) -> Vec<Vec<u8>> {
    // enough rows for several blocks
    let workspace = houses(60_000);
    workspace.write("model.yaml", config);
    let run = |line: &str| {
        let mut words = line.split_whitespace();
        let mut command = workspace.command(words.next().unwrap());
        command.args(words).env("POLARS_MAX_THREADS", threads).env("RAYON_NUM_THREADS", threads);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    [PROCESS, ENGINEER, "train --config model.yaml --data featured.csv --models-dir models", PACKAGE]
        .iter()
        .for_each(|line| run(line));
    let archive = format!("{}.tar.gz", bundle(&workspace));
    read(&workspace, &archive)
}

fn read(workspace: &Workspace, archive: &str) -> Vec<Vec<u8>> {
    FILES.iter().map(|name| workspace.bytes(if *name == "bundle.tar.gz" { archive } else { name })).collect()
}

fn check(config: &str) {
    let (one, two) = (files(config, "1"), files(config, "2"));
    for ((name, one), two) in FILES.iter().zip(one).zip(two) {
        assert!(one == two, "{name} differs between one thread and two");
    }
}

#[test]
fn boosting_is_the_same_at_one_and_two_threads() {
    check(
        "model: {name: m, best_model: GradientBoosting, parameters: {n_estimators: 20, subsample: 0.2, max_depth: 4}, \
         target_transform: log, cross_validation: {folds: 2}}",
    );
}

#[test]
fn boosting_by_the_size_of_the_table_is_the_same_at_one_and_two_threads() {
    check(
        "model: {name: m, best_model: HistGradientBoosting, parameters: {n_estimators: 30, learning_rate: 0.3, loss: gamma}, cross_validation: {folds: 2}}",
    );
}

#[test]
fn a_forest_is_the_same_at_one_and_two_threads() {
    check(
        "model: {name: m, best_model: RandomForest, parameters: {n_estimators: 24, max_depth: 8, max_features: sqrt}, \
         target_transform: log, cross_validation: {folds: 2}}",
    );
}
