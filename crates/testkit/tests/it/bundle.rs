//! What `package` writes, and what it refuses.

use std::fs;

use crate::{ENGINEER, PACKAGE, PROCESS, bundle, houses, model_config};
use testkit::Workspace;

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
    assert!(card.contains("Predicts price with Ridge on the logarithm of the target"), "{card}");
    assert!(card.contains("| sqft | float | 200 to 20000; optional | "), "{card}");
    assert!(workspace.read(&format!("{folder}/MODEL_CARD.html")).contains("<td>200 to 20000; optional</td>"));
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
    let verify = |expected: &str| {
        let stderr = workspace.fails(1, &format!("package verify {folder}"));
        assert!(stderr.contains(expected), "{stderr}");
        assert!(stderr.starts_with(&format!("error: {folder}: is not a valid bundle: ")), "{stderr}");
    };
    let original = workspace.bytes(&format!("{folder}/metrics.json"));
    workspace.write(&format!("{folder}/metrics.json"), "{}");
    verify("metrics.json has changed (digest sha256:");
    fs::remove_file(workspace.path(&format!("{folder}/metrics.json"))).unwrap();
    verify("metrics.json is missing");
    workspace.write(&format!("{folder}/metrics.json"), original).write(&format!("{folder}/extra.txt"), "x");
    verify("extra.txt is not listed in manifest.json");
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
        workspace.fails(1, "package verify cut.tar.gz");
    }
    assert_eq!(
        workspace.fails(2, "package verify no.tar.gz"),
        "error: no.tar.gz: no such file. Name the folder of a bundle or its .tar.gz\n"
    );
}

#[test]
fn a_broken_chain_is_refused() {
    let workspace = packaged();
    fs::remove_dir_all(workspace.path("packaged")).unwrap();
    let refused = |expected: &str| {
        let stderr = workspace.fails(2, PACKAGE);
        assert!(stderr.contains(expected), "{stderr}");
        assert!(!workspace.path("packaged").exists());
    };
    for (file, expected) in [
        ("raw.csv", "raw.csv: is not the file that `process` read (digest sha256:"),
        ("cleaned.csv", "cleaned.csv: is not the file that `process` wrote (digest sha256:"),
        ("featured.csv", "featured.csv: is not the file that `engineer` wrote (digest sha256:"),
        ("models/trained/model.bin", "model.bin: is not the file that `train` wrote (digest sha256:"),
        ("models/trained/metrics.json", "metrics.json: is not the file that `train` wrote (digest sha256:"),
        ("m.yaml", "m.yaml: is not the file that `train` read (digest sha256:"),
    ] {
        let original = workspace.bytes(file);
        workspace.write(file, "price\n1\n");
        refused(expected);
        fs::remove_file(workspace.path(file)).unwrap();
        refused("no such file. ");
        workspace.write(file, original);
    }
    // another cleaned table than the one the features were made of
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", config.replace("seed: 42", "seed: 43"));
    refused("configs/pipeline.yaml: the settings of `process` (or the table) are not those it ran with. Run `process`");
    workspace.ok(PROCESS);
    refused("cleaned.csv: is not the file that `engineer` read (digest sha256:");
    workspace.ok(ENGINEER);
    refused("featured.csv: is not the file that `train` read (digest sha256:");
    workspace.ok(TRAIN);
    workspace.ok(PACKAGE);
}
