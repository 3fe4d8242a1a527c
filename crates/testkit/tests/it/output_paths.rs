//! No program writes a file that it reads, under whatever name: it refuses before anything is written.
#![cfg(unix)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use testkit::Workspace;

use crate::{bundle, houses, model_config, run_all};

const SEARCH: &str = "search:\n  name: m\n  minutes: 1\n  trials: 1\n";

/// How a file is spelled.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spelling {
    Same,
    Dot,
    Slashes,
    Parent,
    Absolute,
    LinkedFolder,
    MissingFolder,
    SymbolicLink,
    HardLink,
}

const NAMES: [Spelling; 7] = [
    Spelling::Same,
    Spelling::Dot,
    Spelling::Slashes,
    Spelling::Parent,
    Spelling::Absolute,
    Spelling::LinkedFolder,
    Spelling::MissingFolder,
];
const LINKS: [Spelling; 2] = [Spelling::SymbolicLink, Spelling::HardLink];

/// Every file of the workspace: where a link leads, or what is in a file.
pub(crate) fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            all.insert(path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else if kind.is_dir() {
            all.insert(path.clone(), Vec::new());
            all.extend(content(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// The workspace's file `name` in another spelling; links are made with the ending `extension`.
fn spell(workspace: &Workspace, name: &str, spelling: Spelling, extension: &str) -> String {
    let link = format!("alias.{extension}");
    match spelling {
        Spelling::Same => name.to_owned(),
        Spelling::Dot => format!("./{name}"),
        Spelling::Slashes => format!(".//{}", name.replace('/', "//")),
        Spelling::Parent => format!("configs/../{name}"),
        Spelling::Absolute => workspace.path(name).display().to_string(),
        Spelling::LinkedFolder => format!("linked/{name}"),
        Spelling::MissingFolder => format!("missing/../{name}"),
        Spelling::SymbolicLink => {
            symlink(workspace.path(name), workspace.path(&link)).unwrap();
            link
        }
        Spelling::HardLink => {
            fs::hard_link(workspace.path(name), workspace.path(&link)).unwrap();
            link
        }
    }
}

/// Runs a line whose `{}` is the file `name` in each spelling. It must be refused, with both flags, and leave every byte as it is.
fn check(workspace: &Workspace, line: &str, name: &str, spellings: &[Spelling], extension: &str, flags: [&str; 2]) {
    for spelling in spellings {
        let spelled = spell(workspace, name, *spelling, extension);
        let line = line.replace("{}", &spelled);
        let before = content(&workspace.path(""));
        let stderr = workspace.fails(2, &line);
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{line}\n{stderr}");
        assert!(
            stderr.contains("is the same file as") && stderr.ends_with("; name another output\n"),
            "{spelling:?}: {line}\n{stderr}"
        );
        assert!(flags.iter().all(|flag| stderr.contains(flag)), "{flags:?}: {line}\n{stderr}");
        let typed = spelled.trim_start_matches("./");
        assert!(stderr.contains(typed), "{typed}: {line}\n{stderr}");
        let after = content(&workspace.path(""));
        let changed: Vec<&PathBuf> =
            before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "{line} changed {changed:?}");
        let _ = fs::remove_file(workspace.path(&format!("alias.{extension}")));
    }
}

/// All spellings of a file whose own ending will do.
fn check_all(workspace: &Workspace, line: &str, name: &str, flags: [&str; 2]) {
    let extension = Path::new(name).extension().unwrap().to_str().unwrap();
    check(workspace, line, name, &[NAMES.as_slice(), &LINKS].concat(), extension, flags);
}

/// A workspace in which every stage has run.
pub(crate) fn ready() -> Workspace {
    let workspace = houses(300);
    workspace.write("configs/model_config.yaml", model_config("Ridge", "  cross_validation: {folds: 0}\n"));
    workspace.write("configs/search.yaml", SEARCH);
    let gates = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", gates.split("\npackage:").next().unwrap());
    run_all(&workspace);
    symlink(workspace.path(""), workspace.path("linked")).unwrap();
    workspace
}

#[test]
fn tables_are_never_written_over() {
    let workspace = ready();
    let check = |line: &str, name: &str, flags: [&str; 2]| check_all(&workspace, line, name, flags);
    let both = ["--input", "--output"];
    check("process --input raw.csv --output {}", "raw.csv", both);
    for name in ["cleaned.csv", "cleaned.csv.quarantine.csv"] {
        check("process --input {} --output cleaned.csv", name, both);
    }
    for suffix in ["", ".quarantine.csv", ".report.json", ".report.html"] {
        for manifest in ["", ".manifest.json"] {
            let name = format!("cleaned.csv{suffix}{manifest}");
            check(
                "process --input raw.csv --output cleaned.csv --pipeline-config {}",
                &name,
                ["--pipeline-config", "--output"],
            );
        }
    }
    let links = |line: &str, name: &str, extension: &str| {
        super::output_paths::check(&workspace, line, name, &LINKS, extension, both);
    };
    links("process init --input raw.csv --target price --output {} --force", "raw.csv", "yaml");
    workspace.write("new.yaml", "a,price\n").write("new_model.yaml", "a,price\n");
    for name in ["new.yaml", "new_model.yaml"] {
        links("process init --input {} --target price --output new.yaml --force", name, "csv");
    }

    for name in ["cleaned.csv", "raw.csv"] {
        check("engineer --input cleaned.csv --output {} --preprocessor p.bin", name, both);
    }
    check("engineer --input {} --output featured.csv --preprocessor p.bin", "featured.csv", both);
    let preprocessor = ["--preprocessor", "--input"];
    for name in ["cleaned.csv", "cleaned.csv.manifest.json", "raw.csv", "cleaned.csv.report.html", "raw.csv"] {
        check("engineer --input cleaned.csv --output f.csv --preprocessor {}", name, preprocessor);
    }
    check(
        "engineer --input cleaned.csv --output f.csv --preprocessor {}",
        "configs/pipeline.yaml",
        ["--preprocessor", "--pipeline-config"],
    );
    check(
        "engineer --input cleaned.csv --output featured.csv --preprocessor {}",
        "featured.csv",
        ["--preprocessor", "--output"],
    );
    for name in [
        "featured.csv",
        "featured.csv.manifest.json",
        "models/trained/preprocessor.bin",
        "models/trained/preprocessor.reference.json",
    ] {
        let line = "engineer --input cleaned.csv --output featured.csv --preprocessor models/trained/preprocessor.bin --pipeline-config {}";
        check(line, name, ["--pipeline-config", if name.starts_with("featured") { "--output" } else { "--preprocessor" }]);
    }

    check("train predict --models-dir models --input raw.csv --output {}", "raw.csv", both);
    workspace.write("out.csv", "").write("out.csv.quarantine.csv", "");
    for name in ["out.csv", "out.csv.quarantine.csv"] {
        check("train predict --models-dir models --input {} --output out.csv", name, both);
    }
    for name in ["featured.csv", "models/trained/predictions.csv"] {
        check("train predict --models-dir models --input raw.csv --output {}", name, ["--models-dir", "--output"]);
    }
    let line = format!("serve predict --model {} --input raw.csv --output {{}}", bundle(&workspace));
    check(&line, "raw.csv", both);
}

#[test]
fn configurations_and_models_are_never_written_over() {
    let workspace = ready();
    let check = |line: &str, name: &str, flags: [&str; 2]| check_all(&workspace, line, name, flags);
    let files = ["model.bin", "metrics.json", "predictions.csv", "report.html", "reference.json", "model.bin.manifest.json"];
    for name in files.map(|name| format!("models/trained/{name}")) {
        check("train --config {} --data featured.csv --models-dir models --force", &name, ["--config", "--models-dir"]);
    }
    let line = "train --config configs/model_config.yaml --data featured.csv --models-dir models --force";
    check(&format!("{line} --import {{}}"), "models/trained/metrics.json", ["--import", "--models-dir"]);
    check("train --config {} --data featured.csv --models-dir models", "mlflow.db", ["--config", "the store of runs"]);
    for (name, flag) in [
        ("featured.csv", "--data"),
        ("raw.csv", "--data"),
        ("configs/model_config.yaml", "--config"),
        ("models/trained/model.bin", "--models-dir"),
    ] {
        check(&format!("{line} --mlflow-tracking-uri sqlite:///{{}}"), name, ["--mlflow-tracking-uri", flag]);
    }

    workspace.write("best.yaml", SEARCH).write("models/search/leaderboard.html", SEARCH);
    for (name, flag) in [
        ("best.yaml", "--output"),
        ("models/search/leaderboard.html", "--models-dir"),
        ("models/trained/model.bin", "--models-dir"),
    ] {
        check(
            "train search --config {} --data featured.csv --models-dir models --output best.yaml",
            name,
            ["--config", flag],
        );
    }
    for (name, flag) in [
        ("configs/search.yaml", "--config"),
        ("featured.csv", "--data"),
        ("raw.csv", "--data"),
        ("models/trained/model.bin", "--models-dir"),
    ] {
        let line = "train search --config configs/search.yaml --data featured.csv --models-dir models --output {}";
        check(line, name, ["--output", flag]);
    }
    for (name, flag) in [("cleaned.csv", "--data"), ("configs/pipeline.yaml", "--data")] {
        let line = "train promote --name m --data cleaned.csv --mlflow-tracking-uri sqlite:///{}";
        check(line, name, ["--mlflow-tracking-uri", flag]);
    }
}

#[test]
fn bundles_images_and_keys_are_never_written_over() {
    let workspace = ready();
    let check = |line: &str, name: &str, flags: [&str; 2]| check_all(&workspace, line, name, flags);
    let bundle = bundle(&workspace);
    let package = "package --models-dir models --output packaged --force";
    let names = [NAMES.as_slice(), &[Spelling::SymbolicLink]].concat();
    let folder = |line: &str, flags| super::output_paths::check(&workspace, line, &bundle, &names, "folder", flags);
    folder(&format!("package --models-dir models --champion {bundle} --output {{}}"), ["--champion", "--output"]);
    folder(&format!("serve --model {bundle} --listen 127.0.0.1:0 --log-predictions {{}}"), ["--model", "--log-predictions"]);

    // what the card is to be written over
    for (name, flag) in [("configs/pipeline.yaml", "--pipeline-config"), ("featured.csv", "--models-dir")] {
        let card = format!("{bundle}.card.md");
        let kept = workspace.bytes(&card);
        for link in [|from: &Path, to: &Path| symlink(from, to), |from: &Path, to: &Path| fs::hard_link(from, to)] {
            fs::remove_file(workspace.path(&card)).unwrap();
            link(&workspace.path(name), &workspace.path(&card)).unwrap();
            super::output_paths::check(&workspace, package, &card, &[Spelling::Same], "", [flag, "--output"]);
        }
        fs::remove_file(workspace.path(&card)).unwrap();
        workspace.write(&card, kept);
    }

    workspace.write("image.sbom.cdx.json", "").write("image.provenance.json", "");
    for name in ["image.sbom.cdx.json", "image.provenance.json"] {
        check(&format!("package image {bundle} --serve {{}} --output image"), name, ["--serve", "--output"]);
        check(&format!("package image {bundle} --serve none --output image --lock {{}}"), name, ["--lock", "--output"]);
        check("package image {} --serve none --output image", name, ["BUNDLE", "--output"]);
    }
    folder(&format!("package image {bundle} --serve none --output {{}}"), ["BUNDLE", "--output"]);
    let archive = format!("{bundle}.tar.gz");
    workspace.write(&format!("{archive}.sig"), "a key");
    check(&format!("package sign {archive} --key {{}}"), &format!("{archive}.sig"), ["--key", "PATH"]);

    // what lies in a folder that is read or replaced as a whole
    for (line, message) in [
        (format!("serve predict --model {bundle} --input raw.csv --output {bundle}/out.csv"), "which is an input"),
        (format!("train predict --models-dir {bundle} --input raw.csv --output {bundle}/out.csv"), "which is an input"),
        (format!("package image {bundle} --serve none --output {bundle}/image"), "which is an input"),
        (format!("package --models-dir models --champion {bundle} --output {bundle}/new"), "which is an input"),
        (format!("serve --model {bundle} --listen 127.0.0.1:0 --log-predictions linked/{bundle}/log"), "which is an input"),
        (format!("package image {bundle} --serve none --output packaged"), "which will be replaced"),
    ] {
        let before = content(&workspace.path(""));
        let stderr = workspace.fails(2, &line);
        assert!(stderr.ends_with(&format!("{message}; name another output\n")), "{line}\n{stderr}");
        assert!(content(&workspace.path("")) == before, "{line}");
    }
}

#[test]
fn stores_of_registered_models_are_never_written_over() {
    let workspace = ready();
    workspace.ok("train --config configs/model_config.yaml --data featured.csv --models-dir models --register --force \
         --mlflow-tracking-uri sqlite:///kept/store.csv");
    let uri = "--mlflow-tracking-uri sqlite:///kept/store.csv";
    let predict = format!("serve predict --model models:/m@challenger --input raw.csv {uri} --output {{}}");
    check_all(&workspace, &predict, "kept/store.csv", ["the store of --model", "--output"]);
    for suffix in ["-journal", "-wal"] {
        let link = format!("kept/alias{suffix}.csv");
        workspace.write(&format!("kept/store.csv{suffix}"), "");
        symlink(workspace.path(&format!("kept/store.csv{suffix}")), workspace.path(&link)).unwrap();
        let stderr = workspace.fails(2, &predict.replace("{}", &link));
        assert!(stderr.contains("is the same file as the store of --model"), "{stderr}");
        fs::remove_file(workspace.path(&format!("kept/store.csv{suffix}"))).unwrap();
    }
    let champion = format!("package --models-dir models --champion models:/m@challenger {uri} --output");
    let search = format!(
        "train search --config configs/search.yaml --data featured.csv --models-dir models {uri} --output kept/mlruns/1/m.yaml"
    );
    // another folder of artifacts, as `mlflow server --default-artifact-root` makes one
    fs::create_dir(workspace.path("elsewhere")).unwrap();
    let elsewhere = rusqlite::Connection::open(workspace.path("kept/store.csv")).unwrap();
    let sql = "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES ('other', ?1, 'active')";
    elsewhere.execute(sql, [format!("file://{}", workspace.path("elsewhere").display())]).unwrap();
    drop(elsewhere);
    for (line, of) in [
        (predict.replace("{}", "kept/mlruns/1/models/out.csv"), "the artifacts of --model"),
        (predict.replace("{}", "linked/kept/mlruns/out.csv"), "the artifacts of --model"),
        (predict.replace("{}", "elsewhere/deep/out.csv"), "the artifacts of --model"),
        (format!("{champion} kept/mlruns/1"), "the artifacts of --champion"),
        (format!("{champion} configs/../kept/mlruns/new"), "the artifacts of --champion"),
        (search, "the artifacts of the store of runs"),
    ] {
        let before = content(&workspace.path(""));
        let stderr = workspace.fails(2, &line);
        assert!(stderr.contains(of), "{line}\n{stderr}");
        assert!(stderr.ends_with("which is an input; name another output\n"), "{line}\n{stderr}");
        assert!(content(&workspace.path("")) == before, "{line}");
    }
    // the lock of what waits would be emptied
    let lock = workspace.path("models/spool/.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&lock);
    symlink(workspace.path("kept/store.csv"), &lock).unwrap();
    let sync = "train sync --from sqlite:///kept/store.csv --models-dir models --mlflow-tracking-uri http://127.0.0.1:9";
    let stderr = workspace.fails(2, sync);
    assert!(stderr.contains("is the same file as the store of --from"), "{stderr}");
}

#[test]
fn what_cannot_be_replaced_by_a_file_is_left_alone() {
    let workspace = houses(300);
    workspace.ok(crate::PROCESS);
    fs::create_dir(workspace.path("folder.csv")).unwrap();
    let line = "engineer --input cleaned.csv --output featured.csv --preprocessor";
    for (line, message) in [
        ("process --input raw.csv --output folder.csv".to_owned(), "--output folder.csv is a folder; name a file"),
        (format!("{line} configs"), "--preprocessor configs is a folder; name a file"),
        (
            format!("{line} /dev/stdout"),
            "--preprocessor /dev/stdout is a device or a pipe, which cannot be replaced; name another output",
        ),
        (
            format!("{line} featured.csv/p.bin"),
            "--preprocessor featured.csv/p.bin is below --output featured.csv, which is an output, too; name another output",
        ),
    ] {
        assert_eq!(workspace.fails(2, &line), format!("error: {message}\n"));
    }
    assert!(!workspace.path("featured.csv").exists());
    // a link to nowhere, and one to a file that is no input, are names like any other
    symlink("nowhere.csv", workspace.path("out.csv")).unwrap();
    workspace.ok("process --input raw.csv --output out.csv");
    assert_eq!(workspace.bytes("out.csv"), workspace.bytes("cleaned.csv"));
    assert!(!workspace.path("nowhere.csv").exists());
}
