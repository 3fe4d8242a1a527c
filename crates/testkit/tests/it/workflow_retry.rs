//! What a job that is run again finds: the pipeline's own steps, with programs that fail once each, attempt after attempt.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;
use testkit::repository;

use crate::workflow_archives::path_with_python;

/// Stands in for a program of the pipeline: leaves what the next step looks for. `train` and the push fail in their first attempt.
const PROGRAM: &str = r#"#!/bin/sh
is_first() { mkdir "$FAILED/$1" 2>/dev/null; }
mkdir -p data/processed models/trained models/packaged mlruns summary
case "$(basename "$0") $1" in
  process*) date +%N >data/processed/cleaned_house_data.csv; echo '{"rows": {}}' ;;
  engineer*) cp data/processed/cleaned_house_data.csv models/trained/preprocessor.bin; echo '{}' ;;
  # the output is kept by then, the recorded runs are not
  train*) echo '{"name": "m"}' >models/trained/metrics.json; is_first train || touch mlflow.db; echo '{}' ;;
  "package image") mkdir -p image; touch image/index.json image.sbom.cdx.json image.provenance.json; echo '{}' ;;
  "package push") is_first push && exit 1; echo '{"digest": "sha256:0", "pushed": "m"}' ;;
  package*) cmp data/processed/cleaned_house_data.csv models/trained/preprocessor.bin && echo '{"archive": "a"}' ;;
esac
"#;

/// What the two build jobs would keep.
fn keep_programs(folder: &Path) -> Vec<String> {
    let mut arguments = Vec::new();
    for (job, name) in [("build", "programs"), ("build-arm64", "programs-arm64")] {
        fs::create_dir(folder.join(name)).unwrap();
        for program in ["process", "engineer", "train", "package", "serve"] {
            let path = folder.join(name).join(program);
            fs::write(&path, PROGRAM).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let archive = folder.join(format!("{name}.tar.gz"));
        assert!(Command::new("tar").current_dir(folder).arg("-czf").arg(&archive).arg(name).status().unwrap().success());
        arguments.extend(["--have".to_owned(), format!("{job}={}", archive.display())]);
    }
    arguments
}

#[test]
fn a_job_that_is_run_again_finds_the_artifacts_of_earlier_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let have = keep_programs(folder.path());
    let (store, failed) = (folder.path().join("store"), folder.path().join("failed"));
    fs::create_dir(&failed).unwrap();
    let attempt = |arguments: &[&str]| {
        let mut command = Command::new(repository().join("scripts/run_workflow.py"));
        command
            .args(arguments)
            .arg("--store")
            .arg(&store)
            .env("FAILED", &failed)
            .env("PATH", path_with_python())
            .env_remove("MLFLOW_TRACKING_URI");
        let output = command.output().expect("the script starts");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let line = text.lines().rev().find(|line| line.starts_with("{\"build\": ")).unwrap_or_else(|| panic!("{text}"));
        let results: Value = serde_json::from_str(line).unwrap();
        let of = |result: &str| {
            let jobs = results.as_object().unwrap().iter();
            jobs.filter(|(_, found)| *found == result).map(|(job, _)| job.clone()).collect::<Vec<_>>().join(" ")
        };
        (of("failure"), of("skipped"), text)
    };
    let record = || -> Value { serde_json::from_slice(&fs::read(store.join("1/run.json")).unwrap()).unwrap() };
    let kept = |name: &str| -> Vec<u64> {
        let record = record();
        let artifacts = record["artifacts"].as_array().unwrap().iter();
        artifacts.filter(|artifact| artifact["name"] == name).map(|artifact| artifact["id"].as_u64().unwrap()).collect()
    };
    let took = |text: &str, stage: &str, id: u64| {
        let found = text.lines().any(|line| {
            line.starts_with(&format!("took {stage}.tar.gz of run 1, ")) && line.contains(&format!("(artifact {id}, "))
        });
        assert!(found, "{stage} of artifact {id}\n{text}");
    };

    let first: Vec<&str> = have.iter().map(String::as_str).chain(["--input", "run_all=true"]).collect();
    let (failure, skipped, text) = attempt(&first);
    assert_eq!((failure.as_str(), skipped.as_str()), ("train", "package publish"), "{text}");
    assert_eq!((kept("output-train").len(), kept("output-mlflow").len()), (1, 0));
    let programs = kept("programs");

    // `train` goes on with what `engineer` left in the first attempt, and keeps its output again; `package` takes that one, not the one of
    // the attempt that failed
    let (failure, skipped, text) = attempt(&["--retry"]);
    assert_eq!((failure.as_str(), skipped.as_str()), ("publish", ""), "{text}");
    assert!(text.contains("== engineer: success in an earlier attempt\n"), "{text}");
    took(&text, "programs", programs[0]);
    took(&text, "output-engineer", kept("output-engineer")[0]);
    let train = kept("output-train");
    assert_eq!(train.len(), 2);
    took(&text, "output-train", train[1]);
    took(&text, "output-mlflow", kept("output-mlflow")[0]);
    assert_eq!(record()["run"]["conclusion"], "failure");

    // `publish` alone is left, with programs of the first attempt
    let (failure, skipped, text) = attempt(&["--retry"]);
    assert_eq!((failure.as_str(), skipped.as_str()), ("", ""), "{text}");
    took(&text, "programs", programs[0]);
    took(&text, "output-package", kept("output-package")[0]);
    let run = &record()["run"];
    assert_eq!((&run["conclusion"], &run["run_attempt"]), (&"success".into(), &3.into()));
    let attempts: Vec<Value> = record()["jobs"].as_array().unwrap().iter().map(|job| job["run_attempt"].clone()).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3]);
}
