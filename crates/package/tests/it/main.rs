//! Models that `package` rejects although all digests match: only the replay with a server detects the error.

use std::{fs, path::Path};

use artifact::{Digest, encode_envelope, read_envelope_bytes};
use model::{MODEL, ModelFile};
use testkit::{Dirt, Workspace, write_houses};

const PACKAGE: &str = "package --models-dir models --output packaged";
const MODEL_FILE: &str = "models/trained/model.bin";
const PREPROCESSOR_FILE: &str = "models/trained/preprocessor.bin";

/// A trained model; its conditions have ranks, so that their order matters.
fn trained(trees: u32, pipeline: impl Fn(String) -> String) -> Workspace {
    let workspace = Workspace::new();
    let mut table = Vec::new();
    write_houses(&mut table, 600, 2026, Dirt::Full).unwrap();
    let config = workspace.read("configs/pipeline.yaml");
    let config = config
        .replace("condition: one_hot", "condition: ordinal")
        .replace("r2: {min: 0.9}", "r2: {min: 0.5}")
        .replace("max: 0.12", "max: 0.9");
    let parameters = format!("{{n_estimators: {trees}, max_depth: 3, random_state: 1}}");
    let model =
        format!("model: {{name: m, best_model: GradientBoosting, target_variable: price, parameters: {parameters}}}\n");
    workspace.write("raw.csv", table).write("m.yaml", model).write("configs/pipeline.yaml", pipeline(config));
    for line in [
        "process --input raw.csv --output cleaned.csv",
        "engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin",
        "train --config m.yaml --data featured.csv --models-dir models",
    ] {
        workspace.ok(line);
    }
    workspace
}

/// Puts other bytes in a file's place, and their digest in the place of the old one wherever it stands: as someone would who has read
/// how manifests are made.
fn graft(workspace: &Workspace, name: &str, bytes: &[u8]) {
    let old = Digest::of_bytes(&workspace.bytes(name));
    workspace.write(name, bytes);
    let new = Digest::of_bytes(bytes);
    let mut files: Vec<_> = fs::read_dir(workspace.path("models/trained"))
        .unwrap()
        .chain(fs::read_dir(workspace.path("")).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    // the record of the run last: its own digest changes with it
    files.sort_by_key(|path| path.ends_with("metrics.json"));
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replace(old.hex(), new.hex());
        if changed == text {
            continue;
        }
        if path.ends_with("metrics.json") {
            graft(workspace, "models/trained/metrics.json", changed.as_bytes());
        } else {
            fs::write(&path, changed).unwrap();
        }
    }
}

/// Puts another preprocessor in the place of the model's, and lets the model name it.
fn graft_preprocessor(workspace: &Workspace, bytes: &[u8]) {
    let mut file: ModelFile =
        read_envelope_bytes(&workspace.bytes(MODEL_FILE), Path::new("model.bin"), MODEL.into()).unwrap();
    Digest::of_bytes(bytes).hex().clone_into(&mut file.preprocessor);
    graft(workspace, PREPROCESSOR_FILE, bytes);
    graft(workspace, MODEL_FILE, &encode_envelope(MODEL.into(), &file).unwrap());
}

/// Packages, which must be refused; returns why.
fn failed_check(workspace: &Workspace) -> String {
    let said = workspace.fails(1, PACKAGE);
    assert!(!workspace.path("packaged").exists(), "something was written: {said}");
    said
}

#[test]
fn a_sound_model_is_packaged_and_again_is_not_asked_for() {
    let workspace = trained(20, |config| config);
    let said = workspace.ok(PACKAGE);
    assert!(said.contains("test rows served with the evaluated predictions"), "{said}");
    let again = workspace.ok(PACKAGE);
    assert!(again.starts_with("package   unchanged: lineage verified"), "{again}");
    assert!(workspace.ok(&format!("{PACKAGE} --force")).starts_with("package   done: "));
    let name =
        fs::read_dir(workspace.path("packaged")).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let card = name.into_iter().find(|name| name.ends_with(".card.md")).unwrap();
    let card = workspace.read(&format!("packaged/{card}"));
    for expected in
        ["## Measured serving", "| one row, median of sequential requests", "| peak memory |", "| start to ready |"]
    {
        assert!(card.contains(expected), "{expected}\n{card}");
    }
}

#[test]
fn a_grafted_record_alone_is_no_obstacle() {
    // what shows that the refusals below come from the replay, not from the grafting
    let workspace = trained(20, |config| config);
    let model = workspace.bytes(MODEL_FILE);
    graft_preprocessor(&workspace, &workspace.bytes(PREPROCESSOR_FILE));
    assert_eq!(workspace.bytes(MODEL_FILE), model);
    workspace.ok(PACKAGE);
}

#[test]
fn a_preprocessor_of_another_year_is_refused() {
    let workspace = trained(20, |config| config);
    let other = trained(20, |config| config.replace("reference_year: 2026", "reference_year: 2000"));
    let stranger = other.bytes(PREPROCESSOR_FILE);
    let original = workspace.bytes(PREPROCESSOR_FILE);
    // the file alone
    workspace.write(PREPROCESSOR_FILE, &stranger);
    let said = workspace.fails(2, PACKAGE);
    assert!(said.contains("preprocessor.bin: is not the file that `engineer` wrote"), "{said}");
    // and its manifests
    workspace.write(PREPROCESSOR_FILE, &original);
    graft(&workspace, PREPROCESSOR_FILE, &stranger);
    let said = workspace.fails(2, PACKAGE);
    assert!(said.contains("preprocessor"), "{said}");
    assert!(said.contains("Run `train` again"), "{said}");
    // and the model
    graft_preprocessor(&workspace, &stranger);
    let said = failed_check(&workspace);
    assert!(
        said.contains("error: replay: ") && said.contains("served predictions differ from the evaluated ones"),
        "{said}"
    );
    assert!(said.contains("the first is test row 1 ({\"bathrooms\":") && said.contains("Nothing was packaged"), "{said}");
}

#[test]
fn a_model_that_is_off_by_one_tree_is_refused() {
    let (workspace, other) = (trained(20, |config| config), trained(19, |config| config));
    graft(&workspace, MODEL_FILE, &other.bytes(MODEL_FILE));
    let said = failed_check(&workspace);
    assert!(said.contains("served predictions differ from the evaluated ones"), "{said}");
}

#[test]
fn levels_in_another_order_are_refused() {
    let reordered = |config: String| config.replace("[Poor, Fair, Good, Excellent]", "[Excellent, Good, Fair, Poor]");
    let (workspace, other) = (trained(20, |config| config), trained(20, reordered));
    // in the configuration
    let config = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", reordered(config.clone()));
    let said = workspace.fails(2, PACKAGE);
    assert!(said.contains("the settings of `process` (or the table) are not those it ran with"), "{said}");
    // and in the preprocessor
    workspace.write("configs/pipeline.yaml", config);
    graft_preprocessor(&workspace, &other.bytes(PREPROCESSOR_FILE));
    let said = failed_check(&workspace);
    assert!(said.contains("served predictions differ from the evaluated ones"), "{said}");
}

#[test]
fn figures_that_are_not_those_of_the_predictions_are_refused() {
    let workspace = trained(20, |config| config);
    let record = workspace.read("models/trained/metrics.json");
    let place = record.find("\"mae\"").unwrap();
    let value = record[place..].split("\"value\": ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let better = record.replacen(&value, "1234.5", 1);
    assert_ne!(better, record);
    graft(&workspace, "models/trained/metrics.json", better.as_bytes());
    let said = failed_check(&workspace);
    assert!(said.contains(&format!("the mae of the served predictions is {value}, but the run recorded 1234.5")), "{said}");
}

#[test]
fn a_server_that_is_none_is_said_to_be_none() {
    let workspace = trained(5, |config| config);
    let said = workspace.fails(2, &format!("{PACKAGE} --serve nowhere/serve"));
    assert!(said.contains("--serve nowhere/serve: no such file"), "{said}");
    workspace.write("no_server", "hello");
    let said = workspace.fails(2, &format!("{PACKAGE} --serve no_server"));
    assert!(said.contains("--serve no_server: cannot run it"), "{said}");
    let process = testkit::binary("process");
    let said = workspace.fails(2, &format!("{PACKAGE} --serve {}", process.display()));
    assert!(said.contains("ended with exit status: 2"), "{said}");
    assert!(!workspace.path("packaged").exists());
}

#[test]
fn gates_are_missed_with_a_figure_and_allowed_with_a_reason() {
    let workspace = trained(5, |config| config.replace("r2: {min: 0.5}", "r2: {min: 0.999}"));
    let said = failed_check(&workspace);
    assert!(said.contains("error: thresholds: package.gate.r2: 0."), "{said}");
    assert!(said.contains("is below the minimum 0.999. Nothing was packaged. Use --allow GATE --reason TEXT"), "{said}");
    let said = workspace.fails(2, &format!("{PACKAGE} --allow thresholds"));
    assert!(said.contains("--reason <TEXT>"), "{said}");
    let said = workspace.fails(2, &format!("{PACKAGE} --allow replay --reason hurry"));
    assert!(said.contains("invalid value 'replay' for '--allow <GATE>'"), "{said}");
    // another gate's reason does not help
    workspace.fails(1, &format!("{PACKAGE} --allow coverage --reason hurry"));
    let said = workspace.ok(&format!("{PACKAGE} --allow thresholds --reason first-model-ever"));
    assert!(said.contains("thresholds failed but allowed (first-model-ever): package.gate.r2: 0."), "{said}");
    let bundle = fs::read_dir(workspace.path("packaged")).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap();
    let bundle = format!("packaged/{}", bundle.file_name().into_string().unwrap());
    let manifest = workspace.json(&format!("{bundle}/manifest.json"));
    assert_eq!(manifest["gates"][0]["answer"], "allowed");
    assert_eq!(manifest["gates"][0]["reason"], "first-model-ever");
    assert!(workspace.read(&format!("{bundle}/MODEL_CARD.md")).contains("failed but allowed (first-model-ever)"));
}

#[test]
fn a_model_that_is_worse_than_the_champion_or_takes_less_is_refused() {
    let champion = trained(40, |config| config);
    champion.ok(PACKAGE);
    let archive = fs::read_dir(champion.path("packaged")).unwrap().flatten().map(|entry| entry.path());
    let archive = archive.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "gz")).unwrap();
    let narrower = |config: String| {
        config.replace(
            "sqft: {type: float, min: 200, max: 20000}",
            "sqft: {type: float, required: true, min: 200, max: 15000}",
        )
    };
    let workspace = trained(5, narrower);
    let line = format!("{PACKAGE} --champion {}", archive.display());
    let said = workspace.fails(1, &line);
    assert!(said.contains("champion: worse than the champion by more than package.champion.margin (0): MAE "), "{said}");
    assert!(said.contains("sqft may no longer be missing; sqft is narrowed: its maximum is 15000, it was 20000"), "{said}");
    let said = workspace.ok(&format!("{line} --allow champion --allow schema --reason smaller"));
    assert!(said.contains("schema     failed but allowed (smaller): compared with the champion m-"), "{said}");
    // against itself a model is no worse
    let said = champion.ok(&format!("{PACKAGE} --champion {}", archive.display()));
    assert!(
        said.contains("champion   passed: MAE ")
            && said.contains("schema     passed: accepts the same columns as the champion"),
        "{said}"
    );
    // no champion yet, and none where one was named
    let said = workspace.ok(&format!("{PACKAGE} --champion models:/m@champion --mlflow-tracking-uri sqlite:///mlflow.db"));
    assert!(said.contains("champion   not applicable: no champion yet: "), "{said}");
    let said = workspace.fails(2, &format!("{PACKAGE} --champion nowhere.tar.gz"));
    assert!(said.contains("--champion: nowhere.tar.gz"), "{said}");
    let said = workspace.fails(2, &format!("{PACKAGE} --champion models:/m"));
    assert!(said.contains("--champion models:/m: write models:/NAME@ALIAS or models:/NAME/VERSION"), "{said}");
}
