//! Workflows, Dockerfiles, compose files and scripts: that their checkers find nothing, that each of them finds what it is there for, which
//! jobs run when, and that the commands in a workflow work.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::{binary, repository};

use crate::registry_server::OciRegistry;

const PIPELINE: &str = ".github/workflows/pipeline.yml";
const SERVE_IMAGE: &str = "deployment/images/serve.Dockerfile";
const COMPOSE: &str = "deployment/compose.yaml";

/// What a command says, and whether it was content.
fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("the command starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn script(name: &str) -> Command {
    let mut command = Command::new(repository().join("scripts").join(name));
    command.current_dir(repository());
    command
}

#[test]
fn the_checkers_find_nothing() {
    let (content, message) = run(&mut script("lint.sh"));
    assert!(content, "{message}");
    assert!(message.ends_with(" checks, 0 failed\n"), "{message}");
}

/// Makes one mistake in a file of the repository, and has `checker` look at it.
fn check(checker: &str, file: &str, mistake: (&str, &str), expected: &str) {
    let text = fs::read_to_string(repository().join(file)).unwrap();
    let (right, wrong) = mistake;
    assert!(text.contains(right), "{file} has no {right:?}");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(file);
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::write(&copy, text.replacen(right, wrong, 1)).unwrap();
    let (content, message) = run(script("lint.sh").arg(checker).arg(&copy));
    assert!(!content && message.contains(expected), "{checker} of {wrong:?}: {content} {message}");
}

#[test]
fn each_checker_of_workflows_finds_what_it_is_there_for() {
    let of = |checker: &str, right: &str, wrong: &str, expected: &str| check(checker, PIPELINE, (right, wrong), expected);
    of(
        "actionlint",
        "inputs.run_model_training)",
        "inputs.run_model_trainin)",
        "property \"run_model_trainin\" is not defined",
    );
    of(
        "actionlint",
        "persist-credentials: false",
        "persist-credential: false",
        "input \"persist-credential\" is not defined",
    );
    of("actionlint", "secrets.COSIGN_PASSWORD", "secrets.COSIGN_PASSWRD", "undefined secret \"cosign_passwrd\"");
    of("github", "types: [published]", "types: [published]\n    branches: [main]", "Unexpected value 'branches'");
    of("github", "needs: [build, process]", "needs: [build, proces]", "proces");
    of("zizmor", "checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "checkout@v7", "unpinned-uses");
    of("zizmor", "--input \"$INPUT\"", "--input \"${{ inputs.input }}\"", "template-injection");
    of("timeout", "    timeout-minutes: 60\n", "", "'timeout-minutes' is a required property");
    of("pins", "# v7.0.1", "# v7", "actions/checkout@");
    of("yamllint", "  release:", "\u{a0} release:", "syntax error");
    of("spaces", "a job a stage", "a job\u{a0}a stage", "a job");
    of("checkov", "permissions: {}", "permissions: write-all", "CKV2_GHA_1");
    check("shellcheck", "scripts/keep_output.sh", ("-cf - \"$@\"", "-cf - $@"), "SC2068");
}

#[test]
fn each_checker_of_images_and_compose_files_finds_what_it_is_there_for() {
    let serve =
        |checker: &str, right: &str, wrong: &str, expected: &str| check(checker, SERVE_IMAGE, (right, wrong), expected);
    serve("hadolint", "CMD [\"--model\", \"/model\", ", "CMD --model /model # ", "DL3025");
    serve("checkov", "USER 65532:65532\n", "", "CKV_DOCKER_3");
    serve("checkov", "HEALTHCHECK ", "# HEALTHCHECK ", "CKV_DOCKER_2");
    serve("last_stage", "USER 65532:65532", "USER nonroot", "has no USER by number");
    serve("last_stage", "USER 65532:65532", "USER 0", "has no USER by number");
    serve("last_stage", "STOPSIGNAL SIGTERM\n", "", "has no STOPSIGNAL");
    let compose =
        |checker: &str, right: &str, wrong: &str, expected: &str| check(checker, COMPOSE, (right, wrong), expected);
    compose(
        "dclint",
        "name: house-price-predictor\n",
        "name: house-price-predictor\nversion: \"3.9\"\n",
        "no-version-field",
    );
    compose("dclint", "\"127.0.0.1:9090:9090\"", "\"9090:9090\"", "no-unbound-port-interfaces");
    compose("dclint", "mlflow:v3.17.2", "mlflow:latest", "service-image-require-explicit-tag");
    compose("compose", "retries: 12", "retrys: 12", "retrys");
    compose(
        "compose",
        "{condition: service_healthy}",
        "{condition: service_helthy}",
        "depends_on.mlflow.condition must be one of",
    );
}

#[test]
fn another_version_of_the_toolchain_is_found() {
    for (file, right, wrong) in [
        (".github/workflows/ci.yml", "rust:1.95.0-", "rust:1.95-"),
        (SERVE_IMAGE, "rust:1.95.0-", "rust:1.96.0-"),
        ("Cargo.toml", "rust-version = \"1.95\"", "rust-version = \"1.90\""),
    ] {
        check("toolchain", file, (right, wrong), "the version differs from 1.95.0 of rust-toolchain.toml");
    }
}

#[test]
fn each_checker_of_issue_forms_finds_what_it_is_there_for() {
    let form = ".github/ISSUE_TEMPLATE/bug_report.yml";
    check("issue_form", form, ("type: dropdown", "type: dropdwn"), "dropdwn");
    let settings = ".github/ISSUE_TEMPLATE/config.yml";
    check("issue_config", settings, ("enabled: false", "enabled: maybe"), "'maybe' is not of type 'boolean'");
}

#[test]
fn each_checker_of_documents_finds_what_it_is_there_for() {
    check("typos", "SECURITY.md", ("vulnerability", "vulnerabilty"), "`vulnerabilty` should be `vulnerability`");
    let summary = |right: &str, wrong: &str, expected: &str| check("summary", "docs/SUMMARY.md", (right, wrong), expected);
    summary("- [Models](models.md)\n", "", "docs/models.md is not a chapter: add a line for it");
    summary("(models.md)", "(gone.md)", "docs/SUMMARY.md:5: docs/gone.md does not exist");
    summary("(models.md)", "(serving.md)", "docs/SUMMARY.md:6: serving.md is listed twice, first in line 5");

    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    fs::write(folder.path().join("other.md"), "# Other page\n").unwrap();
    for (link, expected) in [
        ("other.md#other-page", None),
        ("other.md#another-page", Some("Cannot find fragment")),
        ("#nowhere", Some("Cannot find fragment")),
        ("missing.png", Some("File not found")),
    ] {
        fs::write(&page, format!("[a link]({link})\n")).unwrap();
        let (passed, output) = run(script("lint.sh").arg("links").arg(&page));
        assert_eq!(passed, expected.is_none(), "{link}: {output}");
        assert!(output.contains(expected.unwrap_or("0 Errors")), "{link}: {output}");
    }
}

#[test]
fn retired_words_are_found_in_prose_and_in_names_alone() {
    let golden = repository().join("crates/testkit/golden/retired_words");
    let folder = tempfile::tempdir().unwrap();
    let mut messages = String::new();
    // copies, because the checker passes over golden files
    for name in ["planted.md", "planted.rs", "told.sh"] {
        let copy = folder.path().join(name);
        fs::copy(golden.join(name), &copy).unwrap();
        let (passed, output) = run(script("lint.sh").arg("retired_words").arg(&copy));
        assert!(!passed, "{name}: {output}");
        messages.push_str(&output.replace(&format!("{}/", folder.path().display()), ""));
    }
    assert_eq!(messages, fs::read_to_string(golden.join("expected.txt")).unwrap());
}

#[test]
fn toggles_events_and_failures_decide_which_jobs_run() {
    let expected = fs::read_to_string(repository().join("crates/testkit/golden/workflow_toggles.txt")).unwrap();
    let (content, table) = run(script("run_workflow.py").arg("--truth-table"));
    assert!(content, "{table}");
    for (found, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(table.lines().count(), expected.lines().count());

    // a toggle that is compared with a text, as the published system had them, is never on: no linter says so, the table does
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("pipeline.yml");
    let text = fs::read_to_string(repository().join(PIPELINE)).unwrap();
    fs::write(&copy, text.replace("inputs.run_data_processing)", "inputs.run_data_processing == 'true')")).unwrap();
    let (_, table) = run(script("run_workflow.py").arg("--truth-table").arg(&copy));
    assert_ne!(table, expected);
    assert!(table.contains("workflow_dispatch main +------ 01000\n"), "{table}");
}

/// What the two build jobs would keep, of programs that are built already.
fn programs(folder: &Path) -> Vec<String> {
    let mut kept = Vec::new();
    for (job, name, programs) in [
        ("build", "programs", ["process", "engineer", "train", "package"].as_slice()),
        ("build-arm64", "programs-arm64", [].as_slice()),
    ] {
        fs::create_dir(folder.join(name)).unwrap();
        for program in programs {
            fs::copy(binary(program), folder.join(name).join(program)).unwrap();
        }
        fs::copy(static_server(), folder.join(name).join("serve")).unwrap();
        let archive = folder.join(format!("{name}.tar.gz"));
        let (content, message) = run(Command::new("tar").current_dir(folder).arg("-czf").arg(&archive).arg(name));
        assert!(content, "{message}");
        kept.extend(["--have".to_owned(), format!("{job}={}", archive.display())]);
    }
    kept
}

/// The `serve` that is shipped: static, built by scripts/test.sh before the tests.
pub(crate) fn static_server() -> PathBuf {
    let target = binary("serve").parent().and_then(Path::parent).unwrap().to_owned();
    let mut found = fs::read_dir(&target).unwrap().flatten().map(|entry| entry.path().join("dist/serve"));
    found
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("there is no static serve in {}: run scripts/test.sh", target.display()))
}

#[test]
fn the_steps_of_the_pipeline_work_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let have = programs(folder.path());
    let registry = OciRegistry::start();
    let key = fs::read_to_string(repository().join("crates/package/golden/key.pem")).unwrap();
    let play = |store: &str, inputs: &[&str]| {
        let mut command = script("run_workflow.py");
        command.args(&have).arg("--store").arg(folder.path().join(store)).env_remove("MLFLOW_TRACKING_URI");
        command
            .args(["--var", &format!("IMAGE_REGISTRY={}", registry.address)])
            .args(["--secret", &format!("COSIGN_PRIVATE_KEY={key}")]);
        command.args(inputs.iter().flat_map(|input| ["--input", input]));
        run(&mut command)
    };
    let results = |message: &str| -> serde_json::Value {
        let line =
            message.lines().rev().find(|line| line.starts_with("{\"build\": ")).unwrap_or_else(|| panic!("{message}"));
        serde_json::from_str(line).unwrap()
    };
    let ran = |message: &str| -> Vec<String> {
        let results = results(message);
        let results = results.as_object().unwrap();
        results.iter().filter(|(_, result)| *result == "success").map(|(job, _)| job.clone()).collect()
    };

    // all of it
    let (content, message) = play("store", &["run_all=true"]);
    assert!(content, "{message}");
    assert_eq!(ran(&message), ["build", "build-arm64", "engineer", "package", "process", "publish", "train"]);
    let pushed = message
        .split("\"pushed\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_else(|| panic!("{message}"))
        .to_owned();
    let summary = fs::read_to_string(folder.path().join("store/1/summary.md")).unwrap();
    for expected in [
        "| without target | 9 |",
        "| MAE | 23,708 | 19,588 to 28,243 |",
        "| thresholds | passed | r2 0.9620",
        "365 test rows served with the evaluated predictions",
        "Published: ",
    ] {
        assert!(summary.contains(expected), "{expected}\n{summary}");
    }

    // training alone, with what the run before left
    let stages = ["run_data_processing=false", "run_feature_engineering=false"];
    let (content, message) = play("store", &stages);
    assert!(content, "{message}");
    assert_eq!(ran(&message), ["build", "build-arm64", "train"]);
    assert!(message.contains("took output-engineer.tar.gz of run 1, sha256:"), "{message}");
    assert!(message.contains("\"version\":\"2\""), "the recorded runs of run 1 are not resumed: {message}");

    // publishing alone: the same table and settings, and so the very image
    let publish = [&stages[..], &["run_model_training=false", "run_build_and_publish=true"]].concat();
    let (content, message) = play("store", &publish);
    assert!(content, "{message}");
    assert_eq!(ran(&message), ["build", "build-arm64", "package", "publish"]);
    assert!(
        message.contains("took output-train.tar.gz of run 2, sha256:") && message.contains(&pushed),
        "{pushed} {message}"
    );

    // nothing to take
    let (content, message) = play("empty", &stages);
    assert!(!content && results(&message)["train"] == "failure" && results(&message)["package"] == "skipped", "{message}");
    let missing = "error: there is no output of `engineer` to go on with: it was skipped in this run, and no earlier run on main has one. \
                   Switch the stage on\n";
    assert!(message.contains(missing), "{message}");

    // gates that may fail, without a reason
    let (content, message) = play("store", &["run_all=true", "allow_gates=leakage"]);
    assert!(!content && message.contains("--reason <TEXT>"), "{message}");
    assert_eq!((&results(&message)["package"], &results(&message)["publish"]), (&"failure".into(), &"skipped".into()));
}
