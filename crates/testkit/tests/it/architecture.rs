//! Rules of the architecture that a compiler does not check.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::repository;

/// The crates of this workspace that a crate may depend on.
const DEPENDENCIES: [(&str, &[&str]); 25] = [
    ("summary", &[]),
    ("schema", &[]),
    ("boosting", &[]),
    ("drift", &["schema", "summary"]),
    ("artifact", &[]),
    ("cli", &[]),
    ("testkit", &[]),
    ("features", &["schema", "summary"]),
    ("model", &["boosting", "schema"]),
    ("csv_records", &["schema"]),
    ("table_io", &["csv_records", "schema"]),
    ("predictor", &["artifact", "drift", "features", "model", "schema"]),
    ("model_source", &["artifact", "cli", "drift", "model", "predictor", "tracking"]),
    ("inference", &["csv_records", "drift", "features", "model", "predictor", "schema"]),
    ("batch_prediction", &["artifact", "cli", "inference", "model_source", "predictor"]),
    ("onnx", &["features", "model", "schema"]),
    ("report", &[]),
    ("tracking", &["artifact"]),
    ("evaluation", &["schema", "table_io", "model", "predictor", "cli"]),
    ("process", &["schema", "summary", "table_io", "artifact", "report", "cli"]),
    ("engineer", &["schema", "table_io", "features", "drift", "artifact", "cli"]),
    (
        "train",
        &[
            "schema",
            "table_io",
            "features",
            "drift",
            "model",
            "predictor",
            "inference",
            "model_source",
            "batch_prediction",
            "evaluation",
            "onnx",
            "artifact",
            "tracking",
            "report",
            "cli",
        ],
    ),
    (
        "package",
        &[
            "schema",
            "table_io",
            "features",
            "drift",
            "model",
            "predictor",
            "model_source",
            "evaluation",
            "artifact",
            "tracking",
            "report",
            "cli",
            "testkit",
        ],
    ),
    (
        "serve",
        &[
            "schema",
            "features",
            "model",
            "predictor",
            "inference",
            "model_source",
            "batch_prediction",
            "drift",
            "artifact",
            "tracking",
            "cli",
        ],
    ),
    ("fuzz_targets", &["schema", "features", "boosting", "model", "predictor", "inference", "artifact", "package"]),
];

/// The crates that may depend on polars.
const POLARS: [&str; 4] = ["table_io", "process", "engineer", "train"];

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON from cargo metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    packages
        .iter()
        .map(|package| (name(package), package["dependencies"].as_array().expect("a list").iter().map(name).collect()))
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_stated() {
    let found = dependencies();
    let ours: Vec<&str> = DEPENDENCIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut sorted = ours.clone();
        sorted.sort_unstable();
        sorted
    });
    for (name, allowed) in DEPENDENCIES {
        for dependency in found[name].iter().filter(|dependency| ours.contains(&dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
        let polars = found[name].iter().any(|dependency| dependency.starts_with("polars"));
        assert!(!polars || POLARS.contains(&name), "{name} must not use polars");
    }
}

/// Crates that `inference` must not depend on, directly or by another crate: it reads rows for any program.
const NOT_IN_INFERENCE: [&str; 6] = ["axum", "tokio", "hyper", "reqwest", "rusqlite", "polars"];

#[test]
fn inference_depends_on_no_server_and_no_store() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "inference", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text from cargo tree");
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"predictor"), "{tree}");
    for name in NOT_IN_INFERENCE {
        assert!(!names.iter().any(|found| *found == name || found.starts_with(&format!("{name}-"))), "{name}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    let mut files = Vec::new();
    sources(&repository().join("crates"), &mut files);
    assert!(files.len() > 60);
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        assert!(text.starts_with("//! "), "{} does not open with a //! line", file.display());
        assert!(text.lines().count() <= 420, "{} has grown past 420 lines: split it", file.display());
    }
}

#[test]
fn pure_crates_have_no_clock_environment_file_or_network() {
    let forbidden =
        ["std::fs", "std::net", "std::env", "SystemTime", "Instant::now", "fs::File", "env::var", "thread_rng", "println!"];
    for name in ["summary", "schema", "csv_records", "features", "boosting", "model", "drift", "inference", "onnx", "report"]
    {
        let mut files = Vec::new();
        sources(&repository().join("crates").join(name).join("src"), &mut files);
        // tests may read the documents they check, and measure time
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).expect("text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in forbidden {
                assert!(!code.contains(word), "{} uses {word}", file.display());
            }
        }
    }
}

#[test]
fn programs_know_nothing_of_continuous_integration() {
    let mut files = Vec::new();
    sources(&repository().join("crates"), &mut files);
    for file in files.iter().filter(|file| !file.ends_with("architecture.rs")) {
        let text = fs::read_to_string(file).expect("text");
        assert!(!text.contains("GITHUB_"), "{} reads a variable of GitHub", file.display());
    }
}
