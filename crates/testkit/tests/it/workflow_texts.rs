//! Texts that come from elsewhere (inputs of a run, names, warnings) do nothing in the workflow but what they are for.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use testkit::repository;

use crate::workflow_archives::path_with_python;

fn python(arguments: &[&str], folder: &Path) -> String {
    let mut command = Command::new("python3");
    command.args(arguments).current_dir(folder).env("PATH", path_with_python()).stdin(Stdio::null());
    let output = command.output().expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_summary_of_a_run_shows_texts_and_no_markup_of_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "![a](http://127.0.0.1/a) | <img> `x`\n# heading\r**b** ~~c~~ &lt;";
    let train = json!({
        "metrics": {"mae": 1.0, "baseline_mae": 2.0}, "intervals": {}, "warnings": [hostile],
        "run": {"run_name": "good", "page": "https://127.0.0.1/#/runs/1"},
    });
    let package = json!({
        "status": "refused", "bundle": "models/`x`\ny",
        "gates": [{"gate": "champion", "answer": "refused", "figure": "a|b", "reason": "[c](http://d)"}],
    });
    fs::write(folder.path().join("train.json"), train.to_string()).unwrap();
    fs::write(folder.path().join("package.json"), package.to_string()).unwrap();
    let script = repository().join("scripts/job_summary.py");
    let text = python(&[script.to_str().unwrap(), "train.json", "package.json"], folder.path());
    for expected in [
        "\n> \\!\\[a\\](http://127.0.0.1/a) \\| &lt;img&gt; \\`x\\` \\# heading \\*\\*b\\*\\* \\~\\~c\\~\\~ &amp;lt;\n",
        "\nRun [good](https://127.0.0.1/#/runs/1).\n",
        "\n**refused**: `models/'x' y`\n",
        "\n| champion | **failed** | a\\|b (\\[c\\](http://d)) |\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }

    // a server says where its pages are
    for page in ["javascript:alert(1)", "https://a) [b](https://c", "https://a\n# b"] {
        let mut train = train.clone();
        train["run"]["page"] = json!(page);
        fs::write(folder.path().join("train.json"), train.to_string()).unwrap();
        let text = python(&[script.to_str().unwrap(), "train.json"], folder.path());
        assert!(text.contains("\nRun good.\n") && !text.contains("alert") && !text.contains("[b]"), "{text}");
    }
}

#[test]
fn gates_that_may_fail_are_words_and_no_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for name in ["models/trained", "programs", "programs-arm64"] {
        fs::create_dir_all(here.join(name)).unwrap();
    }
    fs::write(here.join("models/trained/metrics.json"), r#"{"name": "m"}"#).unwrap();
    for server in ["programs/serve", "programs-arm64/serve"] {
        fs::write(here.join(server), [0; 20]).unwrap();
    }
    let program = here.join("programs/package");
    fs::write(&program, "#!/bin/sh\nprintf '%s\\n' \"$@\" >>arguments\necho '{\"archive\": \"a\"}'\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let package = |allow: &str| {
        let mut command = Command::new(repository().join("scripts/package_model.sh"));
        command.current_dir(here).envs([("PIPELINE_CONFIG", "p"), ("BUILDER", "b"), ("REASON", "$(x) *"), ("ALLOW", allow)]);
        let output = command.output().expect("the script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let arguments = fs::read_to_string(here.join("arguments")).unwrap();
        fs::remove_file(here.join("arguments")).unwrap();
        arguments
    };
    let arguments = package("champion *\nleakage");
    let expected = "--champion\nmodels:/m@champion\n--allow\nchampion\n--allow\n*\n--allow\nleakage\n--reason\n$(x) *\n--output-format\n";
    assert!(arguments.contains(expected), "{arguments}");
    assert!(!package("").contains("--allow"));
}

/// Fills in what the jobs get as the login of MLflow, for each server that an input and the variable may name.
const LOGINS: &str = r#"
import contextlib, sys
sys.path.insert(0, "scripts")
import run_workflow
names = ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]
workflow = run_workflow.Workflow(run_workflow.ROOT / ".github/workflows/pipeline.yml")
with contextlib.closing(workflow):
    for asked, configured in [("", "https://a"), ("https://a", "https://a"), ("https://b", "https://a"), ("https://b", ""), (None, "https://a")]:
        contexts = {"inputs": {} if asked is None else {"mlflow_tracking_uri": asked}, "vars": {"MLFLOW_TRACKING_URI": configured}}
        env = {key: run_workflow.as_text(value) for key, value in workflow.fill(workflow.env, contexts).items()}
        contexts.update(env=env, secrets={name: "secret" for name in names})
        steps = [step["env"] for job in workflow.jobs for step in job["steps"] if names[0] in step.get("env", {})]
        logins = {workflow.fill(step[name], contexts) for step in steps for name in names}
        print(len(steps), env["MLFLOW_TRACKING_URI"], *logins)
"#;

#[test]
fn the_login_of_mlflow_goes_to_the_server_of_the_variable_alone() {
    let text = python(&["-B", "-c", LOGINS], &repository());
    let expected = "3 https://a secret\n3 https://a secret\n3 https://b \n3 https://b \n3 https://a secret\n";
    assert_eq!(text, expected);
}
