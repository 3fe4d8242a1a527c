//! What holds of the programs as a whole: run as a user runs them, in a temporary folder.

mod architecture;
mod bad_inputs;
mod bundle;
mod command_line;
mod delivery;
mod determinism;
mod documentation;
mod faults;
mod golden;
mod hostile_bundles;
mod images;
mod import_circles;
mod interruption;
mod limits;
mod messages;
mod mlflow;
mod models;
mod onnx;
mod output_paths;
mod pages;
mod pipeline;
mod podman;
mod predict;
mod proxy;
mod recording;
mod registry;
mod registry_server;
mod remote;
mod replaced_outputs;
mod rows;
mod search;
mod served;
mod server;
mod serving;
mod serving_admission;
mod serving_heads;
mod serving_memory;
mod serving_models;
mod serving_operation;
mod serving_routes;
mod serving_seen;
mod serving_telemetry;
mod snapshot;
mod stopped_training;
mod subcommands;
mod tables;
mod wire;
mod workflow_archives;
mod workflow_artifacts;
mod workflow_retry;
mod workflow_scene;
mod workflow_texts;

use testkit::{Dirt, Workspace, write_houses};

/// A workspace with the shipped table in `raw.csv`.
fn houses(rows: u64) -> Workspace {
    let workspace = Workspace::new();
    let mut table = Vec::new();
    write_houses(&mut table, rows, 2026, Dirt::Full).expect("a table in memory");
    workspace.write("raw.csv", table);
    workspace
}

const PROCESS: &str = "process --input raw.csv --output cleaned.csv";
const ENGINEER: &str = "engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin";
const TRAIN: &str = "train --config configs/model_config.yaml --data featured.csv --models-dir models";
const PACKAGE: &str = "package --models-dir models --output packaged";

/// Runs all four stages; returns what they said.
fn run_all(workspace: &Workspace) -> String {
    [PROCESS, ENGINEER, TRAIN, PACKAGE].map(|line| workspace.ok(line)).concat()
}

/// A model configuration of a few lines.
fn model_config(best_model: &str, extra: &str) -> String {
    format!("model:\n  name: m\n  best_model: {best_model}\n  target_variable: price\n{extra}")
}

/// The only folder in `packaged`.
fn bundle(workspace: &Workspace) -> String {
    let entries = std::fs::read_dir(workspace.path("packaged")).expect("bundles");
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names.len(), 1, "one bundle was expected: {names:?}");
    format!("packaged/{}", names[0])
}
