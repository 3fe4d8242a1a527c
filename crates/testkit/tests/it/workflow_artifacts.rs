//! What `scripts/take_output.sh` takes of earlier runs and attempts, and what it refuses: asked by the script as a workflow calls it, answered by
//! the stand-in of `gh` with runs that a test describes field by field.

use std::fs;

use serde_json::{Value, json};
use testkit::repository;

use crate::{
    workflow_archives::{pack, path_with_python, python},
    workflow_scene::{
        COMMIT, Ending, FORK_ID, NEW, OLD, ON_MAIN, Scene, describe_job, describe_run, describe_this_run, set, variable,
    },
};

/// Fields of a run and their new values, and the refusal that these cause.
struct Case {
    fields: Vec<(&'static str, Value)>,
    refusal: &'static str,
}

fn case(pointer: &'static str, value: Value, refusal: &'static str) -> Case {
    Case { fields: vec![(pointer, value)], refusal }
}

fn branch_case(branch: &'static str, refusal: &'static str) -> Case {
    let fields = ["/artifacts/0/workflow_run/head_branch", "/run/head_branch"].map(|pointer| (pointer, json!(branch)));
    Case { fields: fields.to_vec(), refusal }
}

/// What is compared of every artifact, whichever run it is of.
fn common_cases() -> Vec<Case> {
    vec![
        case("/artifacts/0/expired", json!(true), "expired is true, expected false"),
        case("/artifacts/0/workflow_run/repository_id", json!(FORK_ID), "repository id is 7, expected 1001"),
        case("/artifacts/0/workflow_run/head_repository_id", json!(FORK_ID), "head repository id is 7, expected 1001"),
        case("/artifacts/0/digest", Value::Null, "digest is null, expected sha256: and 64 digits"),
        case("/run/repository/id", json!(FORK_ID), "repository id of the run is 7, expected 1001"),
        case("/run/head_repository/id", json!(FORK_ID), "head repository id of the run is 7, expected 1001"),
        case("/run/head_branch", json!("ai"), "branch of the run is \"ai\", expected main"),
        case("/run/path", json!(".github/workflows/other.yml"), "workflow is \".github/workflows/other.yml\""),
        case("/run/event", json!("pull_request"), "event is \"pull_request\", expected workflow_dispatch or release or "),
        branch_case("ai", "branch is \"ai\", expected main"),
    ]
}

/// What is compared of artifacts of other runs beside that, and more of the same.
fn other_run_cases() -> Vec<Case> {
    let workflow = |path: &str| json!(format!(".github/workflows/{path}"));
    vec![
        case("/artifacts/0/workflow_run", Value::Null, "repository id is null, expected 1001"),
        case("/artifacts/0/workflow_run/repository_id", Value::Null, "repository id is null, expected 1001"),
        case("/artifacts/0/digest", json!("sha256:12"), "digest is \"sha256:12\", expected sha256: and 64 digits"),
        case("/artifacts/0/digest", json!(format!("{}\n", NEW.zip)), "digest is \"sha256:"),
        case("/run/head_repository", Value::Null, "head repository id of the run is null, expected 1001"),
        case("/run/path", workflow("pipeline.yml.yml"), "workflow is \".github/workflows/pipeline.yml.yml\""),
        case("/run/path", workflow("pipeline.yml@other.yml"), "workflow is \".github/workflows/pipeline.yml@other.yml\""),
        case("/run/event", json!("pull_request_target"), "event is \"pull_request_target\""),
        case("/run/event", json!("push"), "event is \"push\""),
        case("/run/event", json!("workflow_run"), "event is \"workflow_run\""),
        case("/run/status", json!("in_progress"), "status of the run is \"in_progress\", expected completed"),
        case("/run/conclusion", json!("failure"), "conclusion of the run is \"failure\", expected success"),
        case("/run/conclusion", json!("cancelled"), "conclusion of the run is \"cancelled\""),
        case("/run/conclusion", Value::Null, "conclusion of the run is null"),
        case("/run/id", json!(8), "run is "),
        // a tag called main, or a branch that was written again
        case("/run/head_sha", json!("b4d"), "commit is \"b4d\", expected a commit of the branch main"),
        case("/run/head_sha", json!("badf00d"), "commit is \"badf00d\", expected a commit of the branch main"),
        branch_case("Main", "branch is \"Main\", expected main"),
        branch_case("mainly", "branch is \"mainly\", expected main"),
        branch_case("topic/x", "branch is \"topic/x\", expected main"),
    ]
}

/// What is compared of the job, for artifacts of this run.
fn this_run_cases() -> Vec<Case> {
    vec![
        case("/jobs/0/conclusion", json!("failure"), "conclusion of the job is [\"completed\", \"failure\"]"),
        case("/jobs/0/conclusion", json!("skipped"), "conclusion of the job is [\"completed\", \"skipped\"]"),
        case("/jobs/0/status", json!("in_progress"), "conclusion of the job is [\"in_progress\", \"success\"]"),
        case("/jobs/0/name", json!("Process again"), "job is [], expected an attempt of Process"),
        case("/jobs/0/started_at", json!("2026-01-09T10:06:00Z"), "job is [\"2026-01-09T10:06:00Z\"], expected an attempt"),
        case("/jobs/0/started_at", Value::Null, "job is [], expected an attempt of Process"),
        // the job failed in its first attempt, after it had left the artifact; the second attempt is another one
        Case {
            fields: vec![
                ("/jobs/0/conclusion", json!("failure")),
                ("/jobs/1", describe_job(2, "Process", "success", "10:06:00")),
            ],
            refusal: "conclusion of the job is [\"completed\", \"failure\"]",
        },
    ]
}

fn change(mut run: Value, case: &Case) -> Value {
    for (pointer, value) in &case.fields {
        set(&mut run, pointer, value.clone());
    }
    run
}

#[test]
fn each_field_of_another_run_is_compared() {
    // a run for each case, one newer than the other, and before them one that passes: whatever is compared no longer is taken in its place
    let scene = Scene::new();
    scene.add(&describe_run(4, &OLD), &OLD);
    let mut shown = Vec::new();
    for (case, number) in common_cases().iter().chain(&other_run_cases()).zip(10..) {
        scene.add(&change(describe_run(number, &NEW), case), &NEW);
        shown.push((number, case.refusal));
    }
    let Ending { code, text } = scene.take_with(&[&ON_MAIN[..], &[("RUNNER_DEBUG", "1")]].concat(), &["process"]);
    for (number, refusal) in shown {
        let start = format!("  artifact {number}00 of run ");
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{refusal}\n{text}"));
        assert!(line.contains(&format!(": {refusal}")), "{refusal}\n{line}");
    }
    assert!(text.contains("\ntook output-process.tar.gz of run 4, "), "{text}");
    assert_eq!((code, scene.taken().as_deref()), (Some(0), Some("old\n")), "{text}");
}

#[test]
fn each_field_of_this_run_is_compared() {
    for case in common_cases().iter().chain(&this_run_cases()) {
        let scene = Scene::new();
        scene.add(&change(describe_this_run(&NEW), case), &NEW);
        let Ending { code, text } = scene.take(&["process", &NEW.tar]);
        assert!(text.contains(&format!("  artifact 900 of run 9: {}", case.refusal)), "{}\n{text}", case.refusal);
        assert_eq!((code, scene.taken()), (Some(2), None), "{}\n{text}", case.refusal);
    }
    let scene = Scene::new();
    scene.add(&describe_this_run(&NEW), &NEW);
    let Ending { code, text } = scene.take(&["process", &NEW.tar]);
    assert_eq!((code, scene.taken().as_deref()), (Some(0), Some("new\n")), "{text}");
}

#[test]
fn the_newest_output_that_passes_is_taken_and_named() {
    let scene = Scene::new();
    scene.add(&describe_run(4, &OLD), &OLD);
    scene.add(&describe_run(5, &NEW), &NEW);
    let Ending { code, text } = scene.take(&["process"]);
    let (tar, zip) = (&NEW.tar, &NEW.zip);
    let expected = format!(
        "took output-process.tar.gz of run 5, {tar} (artifact 500, {zip}; workflow_dispatch on main, commit {COMMIT})\n"
    );
    assert_eq!((code, text), (Some(0), expected));
    assert_eq!(scene.taken().as_deref(), Some("new\n"));
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(scene.checkout.path().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("summary/run.sh"), mode("data/processed/cleaned.csv")), (0o755, 0o644));
}

#[test]
fn the_default_branch_and_this_branch_are_trusted_and_a_tag_is_not() {
    let on = |branch: &str, event: &str, path: &str| {
        let mut run = describe_run(5, &NEW);
        for pointer in ["/run/head_branch", "/artifacts/0/workflow_run/head_branch"] {
            set(&mut run, pointer, json!(branch));
        }
        set(&mut run, "/run/event", json!(event));
        set(&mut run, "/run/path", json!(path));
        let scene = Scene::new();
        scene.add(&run, &NEW);
        scene
    };
    let plain = ".github/workflows/pipeline.yml";
    for (branch, event, path, reference, name) in [
        ("main", "schedule", plain, "heads/topic/x", "topic/x"),
        ("main", "repository_dispatch", ".github/workflows/pipeline.yml@main", "tags/v1", "v1"),
        ("main", "release", ".github/workflows/pipeline.yml@refs/heads/main", "heads/main", "main"),
        ("topic/x", "workflow_dispatch", ".github/workflows/pipeline.yml@topic/x", "heads/topic/x", "topic/x"),
    ] {
        let scene = on(branch, event, path);
        let Ending { code, text } = scene.take_on(reference, name, &["process"]);
        assert!(code == Some(0) && scene.taken().is_some(), "{branch} {event} {reference}: {text}");
    }
    // a branch may be called as the tag is
    let Ending { code, text } = on("v1", "release", plain).take_on("tags/v1", "v1", &["process"]);
    assert!(code == Some(2) && text.contains(": branch is \"v1\", expected main\n"), "{text}");

    // what this very run has left is on its own tag
    let this_on = |branch: &str| {
        let mut this = describe_this_run(&NEW);
        for pointer in ["/run/head_branch", "/artifacts/0/workflow_run/head_branch"] {
            set(&mut this, pointer, json!(branch));
        }
        let scene = Scene::new();
        scene.add(&this, &NEW);
        scene.take_on("tags/v1", "v1", &["process", &NEW.tar])
    };
    let Ending { code, text } = this_on("v1");
    assert_eq!(code, Some(0), "{text}");
    let Ending { code, text } = this_on("main");
    assert!(code == Some(2) && text.contains(": branch is \"main\", expected v1\n"), "{text}");
}

#[test]
fn a_retried_job_takes_what_an_earlier_attempt_left() {
    let scene = Scene::new();
    let mut this = describe_this_run(&NEW);
    // the newest of the job's attempts wins, and what a failed one left between them does not count
    let mut artifacts = vec![this["artifacts"][0].clone(); 3];
    for (artifact, (number, time)) in artifacts.iter_mut().zip([(900, "10:05"), (901, "10:25"), (902, "10:45")]) {
        set(artifact, "/id", json!(number));
        set(artifact, "/created_at", json!(format!("2026-01-09T{time}:00Z")));
    }
    set(&mut this, "/artifacts", json!(artifacts));
    let jobs = [(1, "success", "10:00:00"), (2, "success", "10:20:00"), (3, "failure", "10:40:00")];
    set(
        &mut this,
        "/jobs",
        json!(jobs.map(|(attempt, conclusion, time)| describe_job(attempt, "Process", conclusion, time))),
    );
    scene.add(&this, &NEW);
    let Ending { code, text } = scene.take(&["process", &NEW.tar]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("refused 1 of the artifacts called output-process, by reason: conclusion of the job (1)\n"),
        "{text}"
    );
    assert!(text.contains("took output-process.tar.gz of run 9, ") && text.contains("(artifact 901, "), "{text}");
    assert_eq!(scene.taken().as_deref(), Some("new\n"));
}

#[test]
fn with_a_digest_only_this_run_counts() {
    let scene = Scene::new();
    scene.add(&describe_run(4, &OLD), &OLD);
    let Ending { code, text } = scene.take(&["process", &OLD.tar]);
    let left = format!(
        "error: `process` left {} in this run, and no artifact of run 9 can be taken. Run all jobs again\n",
        OLD.tar
    );
    assert_eq!((code, text), (Some(2), left));

    scene.add(&describe_this_run(&NEW), &NEW);
    let Ending { code, text } = scene.take(&["process", &OLD.tar]);
    let expected = format!(
        "error: artifact output-process (900) of run 9: output-process.tar.gz has digest {}, and Process left {} in this run\n",
        NEW.tar, OLD.tar
    );
    assert_eq!((code, text), (Some(2), expected));
    assert_eq!(scene.taken(), None);
    let Ending { code, text } = scene.take(&["--optional", "process", "sha256:abc"]);
    assert_eq!((code, text.as_str()), (Some(2), "error: DIGEST 'sha256:abc': is not sha256: and 64 digits\n"));
    let Ending { code, text } = scene.take(&["programs"]);
    let expected = "error: programs: needs the DIGEST of the job that built them in this run, which no run skips\n";
    assert_eq!((code, text.as_str()), (Some(2), expected));
}

#[test]
fn all_pages_of_artifacts_and_of_jobs_are_read() {
    // 250 artifacts of a fork are newer
    let scene = Scene::new();
    scene.add(&describe_run(4, &NEW), &NEW);
    let mut fork = describe_run(5, &OLD);
    set(&mut fork, "/run/head_repository/id", json!(FORK_ID));
    let mut artifact = fork["artifacts"][0].clone();
    set(&mut artifact, "/workflow_run/head_repository_id", json!(FORK_ID));
    let artifacts: Vec<Value> = (0..250)
        .map(|place| {
            set(&mut artifact, "/id", json!(500 + place));
            artifact.clone()
        })
        .collect();
    set(&mut fork, "/artifacts", json!(artifacts));
    scene.add(&fork, &OLD);
    let Ending { code, text } = scene.take(&["process"]);
    let expected = "refused 250 of the artifacts called output-process, by reason: head repository id (250)\n  \
                    artifact 749 of run 5: head repository id is 7, expected 1001\n  artifact 748 of run 5: ";
    assert!(code == Some(0) && text.starts_with(expected), "{text}");
    assert_eq!((text.lines().count(), scene.taken().as_deref()), (5, Some("new\n")), "{text}");

    // the job is the last of 150
    let scene = Scene::new();
    let mut this = describe_this_run(&NEW);
    let mut jobs: Vec<Value> = (0..149)
        .map(|place| {
            let mut job = describe_job(1, "Other", "success", "10:00:00");
            set(&mut job, "/id", json!(place));
            job
        })
        .collect();
    jobs.push(describe_job(1, "Process", "success", "10:00:00"));
    set(&mut this, "/jobs", json!(jobs));
    scene.add(&this, &NEW);
    let Ending { code, text } = scene.take(&["process", &NEW.tar]);
    assert!(code == Some(0) && scene.taken().is_some(), "{text}");
}

#[test]
fn where_nothing_passes_the_reasons_are_said_and_nothing_is_taken() {
    let scene = Scene::new();
    let missing = "there is no output of `process` to go on with: it was skipped in this run, and no earlier run on main or topic/x has one";
    let Ending { code, text } = scene.take_on("heads/topic/x", "topic/x", &["process"]);
    assert_eq!((code, text), (Some(2), format!("error: {missing}. Switch the stage on\n")));

    for (number, pointer, value) in [
        (3, "/run/event", json!("pull_request")),
        (4, "/run/conclusion", json!("failure")),
        (5, "/run/event", json!("push")),
        (6, "/artifacts/0/expired", json!(true)),
    ] {
        let mut run = describe_run(number, &NEW);
        set(&mut run, pointer, value);
        scene.add(&run, &NEW);
    }
    let refused = "refused 4 of the artifacts called output-process, by reason: event (2), expired (1), conclusion of the run (1)\n  \
                   artifact 600 of run 6: expired is true, expected false\n  \
                   artifact 500 of run 5: event is \"push\", expected workflow_dispatch or release or schedule or repository_dispatch\n  \
                   artifact 400 of run 4: conclusion of the run is \"failure\", expected success\n";
    let Ending { code, text } = scene.take_on("heads/topic/x", "topic/x", &["--optional", "process"]);
    assert_eq!((code, text), (Some(0), format!("{refused}{missing}\n")));
    assert_eq!(fs::read_dir(scene.checkout.path()).unwrap().count(), 0);
}

#[test]
fn a_changed_artifact_and_an_unreadable_answer_are_errors() {
    let scene = Scene::new();
    scene.add(&describe_run(5, &NEW), &OLD);
    let Ending { code, text } = scene.take(&["--optional", "process"]);
    let expected = format!("error: artifact output-process (500) of run 5: has digest {}, {} is listed\n", OLD.zip, NEW.zip);
    assert_eq!((code, text), (Some(2), expected));

    fs::remove_file(scene.store.path().join("5/500.zip")).unwrap();
    let Ending { code, text } = scene.take(&["--optional", "process"]);
    assert!(
        code == Some(2) && text.contains("error: gh api repos/local/houses/actions/artifacts/500/zip: exit 1\n"),
        "{text}"
    );

    let mut run = describe_run(5, &NEW);
    run["run"].as_object_mut().unwrap().remove("event");
    fs::write(scene.store.path().join("5/run.json"), run.to_string()).unwrap();
    let Ending { code, text } = scene.take(&["--optional", "process"]);
    let expected = "error: an answer of GitHub's API is not of the documented form: KeyError('event')\n";
    assert_eq!((code, text.as_str()), (Some(2), expected));
    assert_eq!(scene.taken(), None);
}

#[test]
fn a_run_that_github_does_not_describe_takes_nothing() {
    let scene = Scene::new();
    scene.add(&describe_run(5, &NEW), &NEW);
    for (place, (name, _)) in ON_MAIN.iter().enumerate() {
        let mut without = ON_MAIN;
        without[place].1 = "";
        let Ending { code, text } = scene.take_with(&without, &["--optional", "process"]);
        assert_eq!(
            (code, text),
            (Some(2), format!("error: ${} is not set: GitHub sets it in a workflow's job\n", variable(name)))
        );
    }
    for (place, value, expected) in [
        (1, "1001x", "error: $GITHUB-REPOSITORY-ID is '1001x', and not a number\n"),
        (
            3,
            "other/houses/.github/workflows/pipeline.yml@refs/heads/main",
            "error: $GITHUB-WORKFLOW-REF is 'other/houses/.github/workflows/pipeline.yml@refs/heads/main', and names no workflow of \
             local/houses\n",
        ),
    ] {
        let mut changed = ON_MAIN;
        changed[place].1 = value;
        let Ending { code, text } = scene.take_with(&changed, &["--optional", "process"]);
        assert_eq!((code, text), (Some(2), variable(expected)));
    }
}

#[test]
fn an_archive_with_a_link_is_an_error() {
    let packed = pack(&["output-process.tar.gz"], &[("data/x", "file", "x"), ("data/link", "symlink", "x")]);
    let scene = Scene::new();
    scene.add(&describe_run(5, &packed), &packed);
    let Ending { code, text } = scene.take(&["--optional", "process"]);
    let expected =
        "error: artifact output-process (500) of run 5: holds 'data/link', which is neither a regular file nor a folder\n";
    assert_eq!((code, text.as_str(), scene.taken()), (Some(2), expected, None));
}

#[test]
fn a_download_beyond_the_bound_is_broken_off() {
    let scene = Scene::new();
    scene.add(&describe_run(5, &NEW), &NEW);
    let script = format!(
        "import os, sys; sys.path.insert(0, {:?}); import take_output; take_output.MAX_DOWNLOAD = 100\n\
         os.environ.update(RUN_WORKFLOW_STORE={:?}, PATH={:?})\n\
         take_output.GitHub('local/houses').download({{'id': 500}}, 'x.zip')\n",
        repository().join("scripts/workflow"),
        scene.store.path(),
        format!("{}:{}", repository().join("scripts/workflow/bin").display(), path_with_python()),
    );
    let text = python(&["-B", "-c", &script], scene.checkout.path(), "");
    let expected = "TakeError: gh api repos/local/houses/actions/artifacts/500/zip: has more than 100 bytes\n";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(fs::metadata(scene.checkout.path().join("x.zip")).unwrap().len(), 0);
}

#[test]
fn the_trusted_events_are_those_that_the_workflow_starts_on() {
    let text = fs::read_to_string(repository().join(".github/workflows/pipeline.yml")).unwrap();
    let section = text.split("\non:\n").nth(1).and_then(|rest| rest.split("\npermissions:").next()).unwrap();
    let keys = section.lines().filter_map(|line| line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')));
    let mut events: Vec<&str> = keys.filter(|key| !key.starts_with([' ', '#'])).collect();
    events.sort_unstable();
    assert_eq!(events, ["release", "repository_dispatch", "schedule", "workflow_dispatch"]);
    let script = "import sys; sys.path.insert(0, '.'); import take_output; print(*sorted(take_output.TRUSTED_EVENTS))";
    let trusted = python(&["-B", "-c", script], &repository().join("scripts/workflow"), "");
    assert_eq!(trusted.split_whitespace().collect::<Vec<_>>(), events);
}
