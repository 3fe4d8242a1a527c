//! An output replaces an earlier output, or an empty file, and nothing else.
#![cfg(unix)]

use std::fs;

use crate::{
    bundle,
    output_paths::{content, ready},
};

/// A file of somebody else is never replaced, whichever output leads to it.
#[test]
fn foreign_files_are_left_alone() {
    let workspace = ready();
    let bundle = bundle(&workspace);
    let readme = "# Notes\n\nMine.\n";
    let foreign = |line: &str, name: &str, message: &str| {
        let kept = fs::read(workspace.path(name)).ok();
        for text in [readme, "price,sqft\n1,2\n", "-----BEGIN PRIVATE KEY-----\n", "{\"name\": 1}\n"] {
            let manifest = workspace.path(&format!("{name}.manifest.json"));
            let beside = fs::read(&manifest).ok();
            let _ = fs::remove_file(&manifest);
            workspace.write(name, text);
            let before = content(&workspace.path(""));
            assert_eq!(
                workspace.fails(2, line),
                format!("error: {message}; name another path, or remove the file first\n"),
                "{line}"
            );
            assert!(content(&workspace.path("")) == before, "{line}");
            beside.iter().for_each(|beside| fs::write(&manifest, beside).unwrap());
        }
        // what `mktemp` makes is replaced, and what was there before as well
        workspace.write(name, "");
        workspace.ok(line);
        if let Some(kept) = kept {
            workspace.write(name, kept);
            workspace.ok(line);
        }
    };
    let is_not = |output: &str, kind: &str| format!("{output} exists and is not {kind}");
    let table = "a table of `process` or `engineer` (it has no column \"split\")";
    foreign("process --input raw.csv --output mine.csv", "mine.csv", &is_not("--output mine.csv", table));
    for (suffix, label, kind) in [
        (".quarantine.csv", "the quarantine of --output", "a quarantine file"),
        (".report.json", "the report of --output", "a report, record or manifest of this project"),
        (".report.html", "the report of --output", "a page of this project"),
    ] {
        let name = format!("mine.csv{suffix}");
        foreign("process --input raw.csv --output mine.csv --force", &name, &is_not(&format!("{label} {name}"), kind));
    }
    let line = "engineer --input cleaned.csv --output f.csv --preprocessor";
    for name in ["README.md", "p.bin", "models/trained/preprocessor.bin"] {
        foreign(&format!("{line} {name}"), name, &is_not(&format!("--preprocessor {name}"), "a preprocessor"));
    }
    foreign(&format!("{line} p.bin --force"), "f.csv", &is_not("--output f.csv", table));
    workspace
        .ok("engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin --force");
    let line = "train search --config configs/search.yaml --data featured.csv --models-dir models --output best.yaml";
    foreign(line, "best.yaml", &is_not("--output best.yaml", "a configuration that `train search` wrote"));
    let page = "models/search/leaderboard.html";
    foreign(line, page, &is_not(&format!("--models-dir {page}"), "a page of this project"));
    let line = "train predict --models-dir models --input raw.csv --output p.csv";
    foreign(line, "p.csv", &is_not("--output p.csv", "a table of predictions"));
    foreign(line, "p.csv.quarantine.csv", &is_not("the quarantine of --output p.csv.quarantine.csv", "a quarantine file"));
    foreign(
        &format!("serve predict --model {bundle} --input raw.csv --output q.csv"),
        "q.csv",
        &is_not("--output q.csv", "a table of predictions"),
    );
    for (name, kind) in [
        ("model.bin", "a model of `train`"),
        ("metrics.json", "a report, record or manifest of this project"),
        ("predictions.csv", "predictions of `train`"),
        ("report.html", "a page of this project"),
    ] {
        let name = format!("models/trained/{name}");
        let line = "train --config configs/model_config.yaml --data featured.csv --models-dir models --force";
        foreign(line, &name, &is_not(&format!("--models-dir {name}"), kind));
    }
}
