//! Documents that are generated are up to date, and what the README says can be done can be done.

use std::fs;

use testkit::{Workspace, repository};

/// Compares a generated document with the one in the repository, or writes it where `UPDATE_DOCS` is set.
fn check(name: &str, text: &str) {
    let path = repository().join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).expect("the document is written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/{name} is out of date: run UPDATE_DOCS=1 scripts/test.sh");
}

#[test]
fn the_command_line_reference_is_current() {
    let workspace = Workspace::new();
    let mut text = String::from("# Command line reference\n\nGenerated from the programs; do not edit.\n\n");
    for program in ["process", "engineer", "train", "package", "serve"] {
        text.push_str(&workspace.ok(&format!("{program} --generate markdown")));
    }
    check("cli.md", &format!("{}\n", text.trim_end()));
}

/// The README's worked example, as it stands there.
#[test]
fn the_worked_example_comes_out_as_written() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let between =
        |from: &str, to: &str| readme.split(from).nth(1).and_then(|rest| rest.split(to).next()).expect(from).to_owned();
    let workspace = crate::houses(2000);
    let said = crate::run_all(&workspace);
    for line in said.lines().filter(|line| {
        ["rows in =", "95 % interval", "95 % confidence interval", "thresholds", "leakage"]
            .iter()
            .any(|part| line.contains(part))
    }) {
        assert!(readme.contains(line.trim_end()), "the README does not say {line}");
    }
    workspace.write("rows.csv", between("cat > rows.csv <<'ROWS'\n", "ROWS\n"));
    workspace.ok("train predict --models-dir models --input rows.csv --output predictions.csv");
    assert!(readme.contains(&format!("```text\n{}```", workspace.read("predictions.csv"))));
    assert!(readme.contains(&format!("```text\n{}```", workspace.read("predictions.csv.quarantine.csv"))));
    let predicted = workspace.read("predictions.csv").trim_end().rsplit(',').nth(1).expect("a prediction").to_owned();
    assert!(workspace.read("models/trained/predictions.csv").contains(&format!(",{predicted}\n")));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = repository();
    let mut documents: Vec<_> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root.join(name)).into();
    documents.extend(fs::read_dir(root.join("docs")).expect("docs").flatten().map(|entry| entry.path()));
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(document).unwrap_or_else(|error| panic!("{}: {error}", document.display()));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().expect("a folder").join(target);
            assert!(path.exists(), "{} links to {link}, which is not there", document.display());
        }
    }
}

#[test]
fn scripts_say_what_they_take() {
    let script = |arguments: &[&str]| {
        let output =
            std::process::Command::new("bash").arg(repository().join("scripts/run_pipeline.sh")).args(arguments).output();
        let output = output.expect("bash runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, stdout, _) = script(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("--model-config FILE"));
    let (code, _, stderr) = script(&["--colour"]);
    assert_eq!(code, Some(2));
    assert!(stderr.ends_with("error: there is no option --colour\n"), "{stderr}");
    let (code, _, stderr) = script(&["--input"]);
    assert_eq!((code, stderr.as_str()), (Some(2), "error: --input needs a file\n"));
}
