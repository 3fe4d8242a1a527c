//! Bundles of somebody else: what a server does that looks for a new model at a path where a trap lies, and bundles of older programs.

use std::{fs, process::Command};

use flate2::{Compression, write::GzEncoder};
use testkit::{Workspace, repository};

use crate::{
    bundle,
    served::{Served, a_house, packaged},
};

/// A gzip-compressed tar with one entry.
fn archive(path: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
    let gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content).unwrap();
    archive.into_inner().and_then(GzEncoder::finish).unwrap()
}

#[test]
fn a_server_keeps_its_model_when_a_trap_lies_where_it_looks() {
    let workspace = packaged(300);
    let sound = workspace.bytes(&format!("{}.tar.gz", bundle(&workspace)));
    workspace.write("current.tar.gz", &sound);
    let served = Served::of(&workspace, "--model current.tar.gz --poll 0.1", &[]);
    let price = served.predict(&a_house());
    let before = served.peak_memory();

    let zeros = vec![0; 300 << 20];
    let put = |trap: &[u8], reason: &str| {
        workspace.write("next", trap);
        fs::rename(workspace.path("next"), workspace.path("current.tar.gz")).unwrap();
        served.wait(reason, |served| served.log().contains(reason));
        assert_eq!(served.predict(&a_house()), price);
    };
    let bomb = archive("m/model.bin", tar::EntryType::Regular, &zeros);
    assert!(bomb.len() < 4_000_000);
    put(&bomb, "is not a valid bundle: it unpacks to more than 32 times its size");
    put(&archive("m/x", tar::EntryType::XHeader, &zeros), "m/x is not a file");
    put(&[&sound[..], &sound[..]].concat(), "it has data after its end");
    // a pipe, which would be waited for
    assert!(Command::new("mkfifo").arg(workspace.path("next")).status().unwrap().success());
    fs::rename(workspace.path("next"), workspace.path("current.tar.gz")).unwrap();
    served.wait("a pipe is refused", |served| served.log().contains("it is not a regular file"));
    assert_eq!(served.predict(&a_house()), price);
    let grown = served.peak_memory() - before;
    assert!(grown < 48, "{grown} MiB for archives of at most {} bytes", bomb.len());
    assert_eq!(served.metric("hpp_model_reloads_total{reason=\"refused\"}"), 4.0);
}

/// What version 0.1.0 packaged of 300 generated houses.
fn older_bundles(workspace: &Workspace) {
    let golden = repository().join("crates/package/golden/bundle_v1.tar.gz");
    workspace.write("old.tar.gz", fs::read(golden).unwrap());
}

#[test]
fn bundles_of_version_1_are_read_and_said_to_be_older() {
    let workspace = Workspace::new();
    older_bundles(&workspace);
    let said = workspace.ok("package verify old.tar.gz");
    assert!(said.starts_with("verify    valid: m 7c30679f8912, 9 files"), "{said}");
    let kind = "old format (version 0.1.0): its content id covers its files, but not the name, schema, lineage and gates";
    assert!(said.contains(kind), "{said}");
    let message: serde_json::Value =
        serde_json::from_str(&workspace.ok("package verify old.tar.gz --output-format json")).unwrap();
    assert_eq!((&message["format_version"], &message["manifest_covered"]), (&1.into(), &false.into()));
    assert!(workspace.ok("serve check --model old.tar.gz").starts_with("check     valid: m "));
    let served = Served::of(&workspace, "--model old.tar.gz", &[]);
    assert!(served.predict(&a_house()) > 0.0);
    assert!(served.log().contains("the bundle has an old format"), "{}", served.log());

    // its name is compared with the model's all the same
    assert!(Command::new("tar").arg("-xzf").arg("old.tar.gz").current_dir(workspace.path("")).status().unwrap().success());
    let folder = fs::read_dir(workspace.path("")).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let folder = folder.into_iter().find(|name| name.starts_with("m-")).unwrap();
    let manifest = workspace.read(&format!("{folder}/manifest.json"));
    let edit = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{from}");
        workspace.write(&format!("{folder}/manifest.json"), manifest.replacen(from, to, 1));
        workspace.run(&format!("package verify {folder}"))
    };
    let run = edit("\"name\": \"m\"", "\"name\": \"other\"");
    assert!(
        run.code == 1 && run.stderr.contains("its name is \"other\" in manifest.json and \"m\" in model.bin"),
        "{run:?}"
    );
    // what is not covered can be edited, and that is what is said
    let run = edit("\"gate\": \"coverage\"", "\"gate\": \"other\"");
    assert!(run.code == 0 && run.stdout.contains(kind), "{run:?}");
    // and a manifest of now does not become one of then
    let run = edit("\"format_version\": 1", "\"format_version\": 2");
    assert!(run.code == 1 && run.stderr.contains("but the manifest gives"), "{run:?}");
}

#[test]
fn nothing_in_a_manifest_can_be_edited() {
    let workspace = packaged(300);
    let folder = bundle(&workspace);
    let manifest = workspace.read(&format!("{folder}/manifest.json"));
    for (from, to, expected) in [
        ("\"name\": \"m\"", "\"name\": \"other\"", "but the manifest gives"),
        ("\"gate\": \"coverage\"", "\"gate\": \"other\"", "but the manifest gives"),
        ("\"passed\"", "\"allowed\"", "but the manifest gives"),
        ("\"stage\": \"process\"", "\"stage\": \"other\"", "but the manifest gives"),
        ("\"name\": \"raw.csv\"", "\"name\": \"other.csv\"", "but the manifest gives"),
        ("\"format_version\": 2", "\"format_version\": 1", "but the files give"),
        ("{\n", "{\n  \"unknown\": 1,\n", "but the manifest gives"),
        ("\"bytes\": ", "\"bytes\": 1", "; manifest.json says 1"),
    ] {
        assert!(manifest.contains(from), "{from}");
        workspace.write(&format!("{folder}/manifest.json"), manifest.replacen(from, to, 1));
        for line in ["package verify", "serve check --model", "package image --output image --serve x"] {
            let said = workspace.fails(1, &format!("{line} {folder}"));
            assert!(said.contains(expected), "{line}: {from} to {to}: {said}");
        }
    }
    workspace.write(&format!("{folder}/manifest.json"), &manifest);
    workspace.ok(&format!("package verify {folder}"));
    // the command of docs/delivery.md makes the same id
    let line = format!("jq -cjS 'del(.content_id)' {folder}/manifest.json | sha256sum | cut -c1-12");
    let output = Command::new("sh").args(["-c", &line]).current_dir(workspace.path("")).output().unwrap();
    let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(folder.ends_with(&format!("-{id}")), "{folder} {id}");

    // the card beside a bundle is not in it
    let card = workspace.read(&format!("{folder}.card.md"));
    workspace.write(&format!("{folder}.card.md"), card.replace("median", "mean"));
    for what in [folder.clone(), format!("{folder}.tar.gz"), format!("{folder}/")] {
        let said = workspace.fails(1, &format!("package verify {what}"));
        assert!(said.contains(".card.md beside it is not the file that `package` wrote (digest sha256:"), "{said}");
    }
    assert!(workspace.ok(crate::PACKAGE).starts_with("package   done"), "it is written again");
    workspace.ok(&format!("package verify {folder}"));
}
