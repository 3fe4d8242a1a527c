//! Runs of a workflow that a test describes field by field, and a folder in which `scripts/take_output.sh` takes outputs of them.

use std::{fs, process::Command, sync::LazyLock};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::repository;

use crate::workflow_archives::{Packed, pack, path_with_python};

pub(crate) const REPOSITORY_ID: u64 = 1001;
pub(crate) const FORK_ID: u64 = 7;
/// The run that asks.
pub(crate) const THIS_RUN: u64 = 9;
pub(crate) const COMMIT: &str = "c0ffee";
/// What GitHub says to the jobs of that run.
pub(crate) const ON_MAIN: [(&str, &str); 5] = [
    ("GITHUB-REPOSITORY", "local/houses"),
    ("GITHUB-REPOSITORY-ID", "1001"),
    ("GITHUB-RUN-ID", "9"),
    ("GITHUB-WORKFLOW-REF", "local/houses/.github/workflows/pipeline.yml@refs/heads/main"),
    ("GITHUB-REF-NAME", "main"),
];

pub(crate) fn process_output(text: &'static str) -> Packed {
    pack(&["output-process.tar.gz"], &[("data/processed/cleaned.csv", "file", text), ("summary/run.sh", "file", "exit\n")])
}

pub(crate) static OLD: LazyLock<Packed> = LazyLock::new(|| process_output("old\n"));
pub(crate) static NEW: LazyLock<Packed> = LazyLock::new(|| process_output("new\n"));

/// Everything that GitHub's API says of a run on `main` that ended well, with one artifact of it.
pub(crate) fn describe_run(number: u64, packed: &Packed) -> Value {
    let origin = json!({
        "id": number, "repository_id": REPOSITORY_ID, "head_repository_id": REPOSITORY_ID, "head_branch": "main", "head_sha": COMMIT,
    });
    json!({
        "run": {
            "id": number, "path": ".github/workflows/pipeline.yml", "event": "workflow_dispatch", "status": "completed",
            "conclusion": "success", "head_branch": "main", "head_sha": COMMIT, "run_attempt": 1,
            "repository": {"id": REPOSITORY_ID}, "head_repository": {"id": REPOSITORY_ID},
        },
        "jobs": [describe_job(1, "Process", "success", "10:00:00"), describe_job(1, "Train", "success", "10:09:00")],
        "artifacts": [{
            "id": number * 100, "name": "output-process", "expired": false, "created_at": format!("2026-{:02}-09T10:05:00Z", number.clamp(1, 9)),
            "digest": packed.zip, "size_in_bytes": packed.bytes.len(), "workflow_run": origin,
        }],
    })
}

/// A job that ended, of the run that asks.
pub(crate) fn describe_job(attempt: u64, name: &str, conclusion: &str, started: &str) -> Value {
    json!({
        "id": attempt * 1000 + u64::from(name.as_bytes()[0]), "run_attempt": attempt, "name": name, "status": "completed",
        "conclusion": conclusion, "started_at": format!("2026-01-09T{started}Z"), "completed_at": "2026-01-09T11:00:00Z",
    })
}

/// The run that asks, in its second attempt: `Process` has succeeded in the first.
pub(crate) fn describe_this_run(packed: &Packed) -> Value {
    let mut run = describe_run(THIS_RUN, packed);
    set(&mut run, "/artifacts/0/created_at", json!("2026-01-09T10:05:00Z"));
    set(&mut run, "/run/status", json!("in_progress"));
    set(&mut run, "/run/conclusion", Value::Null);
    set(&mut run, "/run/run_attempt", json!(2));
    run
}

pub(crate) fn set(value: &mut Value, pointer: &str, new: Value) {
    *value.pointer_mut(pointer).expect(pointer) = new;
}

/// A name with the underscores of GitHub's variables: none of them stands in the crates, where programs know nothing of it.
pub(crate) fn variable(name: &str) -> String {
    name.replace('-', "_")
}

/// Runs that the stand-in of `gh` answers from, and a folder like a checkout, into which outputs are taken.
pub(crate) struct Scene {
    pub(crate) store: TempDir,
    pub(crate) checkout: TempDir,
}

/// How the script ended and what it wrote.
pub(crate) struct Ending {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self { store: tempfile::tempdir().unwrap(), checkout: tempfile::tempdir().unwrap() };
        let commits = json!({
            "main": ["0ld", COMMIT, "badc0de"], "ai": [COMMIT], "Main": [COMMIT], "mainly": [COMMIT], "topic/x": ["b4d", COMMIT], "v1": [COMMIT],
        });
        fs::write(scene.store.path().join("branches.json"), commits.to_string()).unwrap();
        scene
    }

    pub(crate) fn add(&self, run: &Value, packed: &Packed) {
        let folder = self.store.path().join(run["run"]["id"].to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("run.json"), run.to_string()).unwrap();
        for artifact in run["artifacts"].as_array().unwrap() {
            fs::write(folder.join(format!("{}.zip", artifact["id"])), &packed.bytes).unwrap();
        }
    }

    /// What the script says on `main`.
    pub(crate) fn take(&self, arguments: &[&str]) -> Ending {
        self.take_with(&ON_MAIN, arguments)
    }

    pub(crate) fn take_on(&self, reference: &str, name: &str, arguments: &[&str]) -> Ending {
        let workflow = format!("local/houses/.github/workflows/pipeline.yml@refs/{reference}");
        let mut variables = ON_MAIN;
        variables[3].1 = &workflow;
        variables[4].1 = name;
        self.take_with(&variables, arguments)
    }

    pub(crate) fn take_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ending {
        let stand_in = repository().join("scripts/workflow/bin");
        let path = format!("{}:{}", stand_in.display(), path_with_python());
        let mut command = Command::new(repository().join("scripts/take_output.sh"));
        for (name, _) in ON_MAIN {
            command.env_remove(variable(name));
        }
        command.env_remove("RUNNER_DEBUG");
        command
            .args(arguments)
            .current_dir(self.checkout.path())
            .env("PATH", path)
            .env("RUN_WORKFLOW_STORE", self.store.path());
        let output =
            command.envs(variables.iter().map(|(name, value)| (variable(name), value))).output().expect("the script starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        Ending { code: output.status.code(), text: String::from_utf8_lossy(&output.stderr).into_owned() }
    }

    pub(crate) fn taken(&self) -> Option<String> {
        fs::read_to_string(self.checkout.path().join("data/processed/cleaned.csv")).ok()
    }
}
