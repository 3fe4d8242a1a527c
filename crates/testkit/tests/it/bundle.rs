//! What `package` writes, and what it refuses.

use std::fs;

use testkit::Workspace;

use crate::{
    ENGINEER, PACKAGE, PROCESS, bundle, houses, model_config,
    snapshot::{Transcript, assert_text, text_of_page},
};

const TRAIN: &str = "train --config m.yaml --data featured.csv --models-dir models";

fn packaged() -> Workspace {
    let workspace = houses(400);
    workspace
        .write("m.yaml", model_config("Ridge", "  target_transform: log\n  parameters: {alpha: 1.0, standardize: true}\n"));
    let config = workspace.read("configs/pipeline.yaml");
    workspace
        .write("configs/pipeline.yaml", config.replace("r2: {min: 0.9}", "r2: {min: 0.7}").replace("max: 0.12", "max: 0.5"));
    [PROCESS, ENGINEER, TRAIN, PACKAGE].iter().for_each(|line| {
        workspace.ok(line);
    });
    workspace
}

#[test]
fn a_bundle_holds_what_a_prediction_needs_and_can_be_checked() {
    let workspace = packaged();
    let folder = bundle(&workspace);
    let mut names: Vec<String> = fs::read_dir(workspace.path(&folder))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let expected = [
        "MODEL_CARD.html",
        "MODEL_CARD.md",
        "manifest.json",
        "metrics.json",
        "model.bin",
        "model_config.yaml",
        "pipeline.yaml",
        "preprocessor.bin",
        "reference.json",
        "schema.json",
    ];
    assert_eq!(names, expected);
    for bundle in [folder.clone(), format!("{folder}.tar.gz")] {
        assert!(workspace.ok(&format!("package verify {bundle}")).starts_with("verify    valid: m "));
    }
    let card = workspace.read(&format!("{folder}/MODEL_CARD.md"));
    // the card beside the bundle has one more section
    let (before, measured) = workspace
        .read(&format!("{folder}.card.md"))
        .split_once("## Measured serving")
        .map(|(before, after)| (before.to_owned(), after.to_owned()))
        .expect("what was measured");
    let after = measured.find("## ").expect("the next section");
    assert_eq!(format!("{before}{}", &measured[after..]), card);
    assert_text!("markdown", workspace.read(&format!("{folder}.card.md")));
    assert_text!("html", text_of_page(&workspace.read(&format!("{folder}/MODEL_CARD.html"))));
}

#[test]
fn the_archive_depends_on_content_alone() {
    let (first, second) = (packaged(), packaged());
    // trained again at another time, in another folder
    second.ok(&format!("{TRAIN} --force"));
    second.ok(PACKAGE);
    let (one, two) = (bundle(&first), bundle(&second));
    assert_eq!(one, two);
    assert_eq!(first.bytes(&format!("{one}.tar.gz")), second.bytes(&format!("{two}.tar.gz")));
}

#[test]
fn an_altered_bundle_is_found_out() {
    let workspace = packaged();
    let folder = bundle(&workspace);
    let mut transcript = Transcript::default();
    let mut verify = |what: &str, path: &str, code: i32| {
        transcript.note(what);
        assert_eq!(transcript.run(&workspace, &format!("package verify {path}")).code, code);
    };
    let original = workspace.bytes(&format!("{folder}/metrics.json"));
    workspace.write(&format!("{folder}/metrics.json"), "{}");
    verify("metrics.json was edited", &folder, 1);
    fs::remove_file(workspace.path(&format!("{folder}/metrics.json"))).unwrap();
    verify("metrics.json was removed", &folder, 1);
    workspace.write(&format!("{folder}/metrics.json"), original).write(&format!("{folder}/extra.txt"), "x");
    verify("another file was added", &folder, 1);
    fs::remove_file(workspace.path(&format!("{folder}/extra.txt"))).unwrap();
    workspace.ok(&format!("package verify {folder}"));
    // a bundle that was altered is written again
    workspace.write(&format!("{folder}/metrics.json"), "{}");
    assert!(workspace.ok(PACKAGE).starts_with("package   done"));
    workspace.ok(&format!("package verify {folder}"));

    let archive = format!("{folder}.tar.gz");
    let bytes = workspace.bytes(&archive);
    for length in [0, 10, bytes.len() / 2, bytes.len() - 9] {
        workspace.write("cut.tar.gz", &bytes[..length]);
        verify("the beginning of an archive", "cut.tar.gz", 1);
    }
    verify("no archive", "no.tar.gz", 2);
    assert_text!(transcript.text);
}

#[test]
fn a_broken_chain_is_refused() {
    let workspace = packaged();
    fs::remove_dir_all(workspace.path("packaged")).unwrap();
    let mut transcript = Transcript::default();
    let mut refused = |what: &str| {
        transcript.note(what);
        assert_eq!(transcript.run(&workspace, PACKAGE).code, 2);
        assert!(!workspace.path("packaged").exists());
    };
    for file in
        ["raw.csv", "cleaned.csv", "featured.csv", "models/trained/model.bin", "models/trained/metrics.json", "m.yaml"]
    {
        let original = workspace.bytes(file);
        workspace.write(file, "price\n1\n");
        refused(&format!("{file} was edited"));
        fs::remove_file(workspace.path(file)).unwrap();
        refused(&format!("{file} was removed"));
        workspace.write(file, original);
    }
    // another cleaned table than the one the features were made of
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replace("seed: 42", "seed: 43"));
    refused("the seed of the split was edited");
    workspace.ok(PROCESS);
    refused("only `process` ran again");
    workspace.ok(ENGINEER);
    refused("only `process` and `engineer` ran again");
    workspace.ok(TRAIN);
    workspace.ok(PACKAGE);
    assert_text!(transcript.text);
}
