//! Container images: laid out as the specification says, the same every time, signed so that cosign agrees, pushed byte for byte, and run by
//! podman without rights.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Workspace, repository};

use crate::{
    bundle,
    delivery::static_server,
    podman::Podman,
    registry_server::OciRegistry,
    served::{a_house, answer, client, packaged},
};

/// A command of a tool that scripts/delivery_tools.sh installs; must succeed.
fn tool(name: &str, args: &[&str]) -> String {
    let (content, message) = tool_says(name, args);
    assert!(content, "{name} {args:?}: {message}");
    message
}

/// What has cosign read Sigstore bundles without asking anyone: no log, and nobody's certificates.
fn new_form(workspace: &Workspace) -> [String; 4] {
    workspace.write("root.json", r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#);
    let root = workspace.path("root.json").display().to_string();
    ["--new-bundle-format".into(), "--insecure-ignore-tlog=true".into(), "--trusted-root".into(), root]
}

/// Puts the legacy signature of another key beside the Sigstore bundle in `image/`; what is said of that.
fn mixed_layout(workspace: &Workspace) -> String {
    let public = key("key.pub");
    let index = workspace.json("image/index.json");
    let mut command = workspace.command("package");
    command.args(["sign", "image", "--key", &key("cosign.key")]).env("COSIGN_PASSWORD", "secret");
    let before = workspace.path("before");
    assert!(Command::new("cp").arg("-r").arg(workspace.path("image")).arg(&before).status().unwrap().success());
    assert!(command.output().unwrap().status.success());
    let mut mixed = workspace.json("image/index.json");
    mixed["manifests"][2] = index["manifests"][2].clone();
    for (path, content) in files(&before.join("blobs")) {
        fs::write(workspace.path("image/blobs").join(path), content).unwrap();
    }
    workspace.write("image/index.json", mixed.to_string());
    workspace.fails(1, &format!("package verify image --key {public}"))
}

fn cosign_command() -> Command {
    Command::new(program("cosign"))
}

/// A tool, where scripts/delivery_tools.sh put it, or on the PATH.
fn program(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).expect("a home");
    let ours = cache.join("house-price-predictor/tools/bin").join(name);
    if ours.exists() { ours } else { name.into() }
}

fn tool_says(name: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program(name)).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}; scripts/delivery_tools.sh installs it"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Makes an image of the workspace's bundle; returns what was said of it.
fn image(workspace: &Workspace, output: &str, more: &str) -> Value {
    let serve = static_server();
    let line = format!(
        "package image {} --output {output} --serve {} {more} --output-format json",
        bundle(workspace),
        serve.display()
    );
    serde_json::from_str(&workspace.ok(&line)).expect("JSON")
}

fn key(name: &str) -> String {
    repository().join("crates/package/golden").join(name).display().to_string()
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = PathBuf::from(entry.file_name());
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(below, content)| (name.join(below), content)));
        } else {
            found.push((name, fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn an_image_is_the_same_every_time_and_small() {
    let workspace = packaged(300);
    let message = image(&workspace, "image", "");
    // from the archive, beside what was there, at another time
    let archive = format!("{}.tar.gz", bundle(&workspace));
    let again = workspace
        .ok(&format!("package image {archive} --output again/ --serve {} --output-format json", static_server().display()));
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(message["digest"], again["digest"]);
    assert_eq!(files(&workspace.path("image")), files(&workspace.path("again")));
    assert_eq!(workspace.read("image.sbom.cdx.json"), workspace.read("again.sbom.cdx.json"));
    assert_eq!(workspace.read("image.provenance.json"), workspace.read("again.provenance.json"));
    let sizes: Vec<u64> = message["layers"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).collect();
    assert!(sizes[0] < 15_000_000 && fs::metadata(static_server()).unwrap().len() < 15_000_000, "{sizes:?}");

    // skopeo reads it
    let at = format!("oci:{}", workspace.path("image").display());
    let inspected: Value = serde_json::from_str(&tool("skopeo", &["inspect", &at])).unwrap();
    assert_eq!((&inspected["Digest"], &inspected["Os"]), (&message["digest"], &json!("linux")));
    let config: Value = serde_json::from_str(&tool("skopeo", &["inspect", "--config", &at])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["StopSignal"], "SIGTERM");
    assert_eq!(config["config"]["Entrypoint"], json!(["/serve"]));

    // another model changes its own layer alone
    workspace.write("m.yaml", workspace.read("m.yaml").replace("n_estimators: 30", "n_estimators: 29"));
    workspace.ok("train --config m.yaml --data featured.csv --models-dir models");
    fs::remove_dir_all(workspace.path("packaged")).unwrap();
    workspace.ok(crate::PACKAGE);
    let other = image(&workspace, "other", "");
    let layers = |name: &str| -> Value {
        let at = format!("oci:{}", workspace.path(name).display());
        serde_json::from_str::<Value>(&tool("skopeo", &["inspect", &at])).unwrap()["Layers"].clone()
    };
    assert_ne!(message["digest"], other["digest"]);
    assert_eq!(layers("image")[0], layers("other")[0]);
    assert_ne!(layers("image")[1], layers("other")[1]);

    let sbom = workspace.json("image.sbom.cdx.json");
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
    let provenance = workspace.json("image.provenance.json");
    assert_eq!(provenance["predicateType"], "https://slsa.dev/provenance/v1");
    let hex = message["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], hex);
    let names = provenance["predicate"]["buildDefinition"]["resolvedDependencies"].to_string();
    assert!(names.contains("serve for amd64") && names.contains("process: raw.csv"), "{names}");
}

#[test]
fn what_was_changed_in_an_image_is_found_out() {
    let workspace = packaged(300);
    let message = image(&workspace, "image", "--tag 1.0");
    assert!(workspace.ok("package verify image").starts_with("verify    valid: sha256:"));
    let digest = message["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = workspace.json(&format!("image/blobs/sha256/{digest}"));
    let layer = manifest["layers"][1]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let name = format!("image/blobs/sha256/{layer}");
    let sound = workspace.bytes(&name);
    let mut broken = sound.clone();
    broken[sound.len() / 2] ^= 1;
    workspace.write(&name, &broken);
    let said = workspace.fails(1, "package verify image");
    assert!(said.contains(&format!("{name}: has another content (its digest is sha256:")), "{said}");
    fs::remove_file(workspace.path(&name)).unwrap();
    let said = workspace.fails(1, "package verify image");
    assert!(said.contains(&format!("blob sha256:{layer} is missing")), "{said}");
    workspace.write(&name, &sound).write("image/index.json", "{");
    assert!(workspace.fails(1, "package verify image").contains("image/index.json: cannot read it"));

    // what stands in the way stays
    workspace.write("taken/precious.txt", "x");
    let line = |more: &str| format!("package image {} {more}", bundle(&workspace));
    let serve = static_server();
    let said = workspace.fails(2, &line(&format!("--output taken --serve {}", serve.display())));
    assert!(said.contains("--output taken: exists and is not an image layout"), "{said}");
    assert_eq!(workspace.read("taken/precious.txt"), "x");
    // programs that would not run there
    workspace.write("script", "#!/bin/sh\n");
    let said = workspace.fails(2, &line("--output i --serve script"));
    assert!(said.contains("--serve script: is not a 64-bit Linux program"), "{said}");
    let dynamic = testkit::binary("serve");
    let said = workspace.fails(2, &line(&format!("--output i --serve {}", dynamic.display())));
    assert!(said.contains("needs a loader and libraries, which an empty image does not have"), "{said}");
    let said = workspace.fails(2, &line(&format!("--output i --serve {0} --serve {0}", serve.display())));
    assert!(said.contains("another program is for the same processor"), "{said}");
    let said = workspace.fails(2, &line(&format!("--output i --serve {} --push nowhere@", serve.display())));
    assert!(said.contains("write REGISTRY/NAME:TAG"), "{said}");
    assert!(!workspace.path("i").exists());
}

#[test]
fn signatures_are_verified_by_cosign_and_cosigns_keys_sign() {
    let workspace = packaged(300);
    let message = image(&workspace, "image", "");
    let path = |name: &str| workspace.path(name).display().to_string();
    let offline = "--insecure-ignore-tlog=true";
    let (private, public) = (key("key.pem"), key("key.pub"));

    // a file
    let archive = format!("{}.tar.gz", bundle(&workspace));
    assert!(workspace.fails(1, &format!("package verify {archive} --key {public}")).contains(".sig exists"));
    workspace.ok(&format!("package sign {archive} --key {private}"));
    let verify = format!("package verify {archive} --key {public}");
    assert!(workspace.ok(&verify).contains("; signed by the key (Sigstore bundle and legacy signature)"));
    let (signature, bundle_file) = (format!("{archive}.sig"), format!("{archive}.sigstore.json"));
    tool("cosign", &["verify-blob", "--key", &public, "--signature", &path(&signature), offline, &path(&archive)]);
    let new = new_form(&workspace);
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let of_bundle = |public: &str| {
        let beside = path(&bundle_file);
        tool_says("cosign", &[&["verify-blob", "--key", public, "--bundle", &beside], &new[..], &[&path(&archive)]].concat())
    };
    let (content, told_of) = of_bundle(&public);
    assert!(content, "{told_of}");
    assert!(!of_bundle(&key("cosign.pub")).0, "another key");
    let said = workspace.fails(1, &format!("package verify {archive} --key {}", key("cosign.pub")));
    assert!(said.contains("its signature is not this key's of this content"), "{said}");
    // either form alone will do; two that disagree will not
    let both = [workspace.bytes(&signature), workspace.bytes(&bundle_file)];
    fs::remove_file(workspace.path(&signature)).unwrap();
    assert!(workspace.ok(&verify).contains("; signed by the key (Sigstore bundle)"));
    fs::remove_file(workspace.path(&bundle_file)).unwrap();
    workspace.write(&signature, &both[0]);
    assert!(workspace.ok(&verify).contains("; signed by the key (legacy signature)"));
    workspace.write("other", "other");
    workspace.ok(&format!("package sign other --key {private}"));
    workspace.write(&bundle_file, workspace.bytes("other.sigstore.json"));
    let said = workspace.fails(1, &verify);
    assert!(said.contains(".sigstore.json: its signature is of another content"), "{said}");
    workspace.write(&bundle_file, &both[1]).write(&signature, workspace.bytes("other.sig"));
    let said = workspace.fails(1, &verify);
    assert!(said.contains(".sig: its signature is not this key's of this content"), "{said}");
    workspace.write(&signature, vec![b'x'; 2 << 20]);
    assert!(workspace.fails(1, &verify).contains("at most 1048576 are allowed"));
    // what cosign signs is verified here
    let cosign = key("cosign.key");
    let other = format!("{archive}.other.tar.gz");
    workspace.write(&other, workspace.bytes(&archive));
    let mut command = cosign_command();
    command.args(["sign-blob", "--yes", "--key", &cosign, "--new-bundle-format", "--tlog-upload=false", "--bundle"]);
    command.arg(path(&format!("{other}.sigstore.json"))).arg(path(&other)).env("COSIGN_PASSWORD", "secret");
    assert!(command.output().unwrap().status.success());
    let said = workspace.ok(&format!("package verify {other} --key {}", key("cosign.pub")));
    assert!(said.contains("; signed by the key (Sigstore bundle)"), "{said}");
    let said = workspace.fails(2, &format!("package verify {} --key {public}", bundle(&workspace)));
    assert!(said.contains("--key: a bundle is signed as .tar.gz"), "{said}");

    // an image in its folder, its digest staying what it was
    assert!(workspace.fails(1, &format!("package verify image --key {public}")).contains("it is not signed"));
    workspace.ok(&format!("package sign image --key {private}"));
    let said = workspace.ok(&format!("package verify image --key {public}"));
    assert!(said.contains("; signed by the key (Sigstore bundle and legacy signature)"), "{said}");
    tool("cosign", &["verify", "--key", &public, offline, "--local-image", &path("image")]);
    let (content, _) =
        tool_says("cosign", &["verify", "--key", &key("cosign.pub"), offline, "--local-image", &path("image")]);
    assert!(!content, "another key");

    // by cosign's key, from a variable; the signature before is replaced
    let sign = |password: &str| {
        let mut command = workspace.command("package");
        command.args(["sign", "image", "--key", "env:SIGNING_KEY"]).env("COSIGN_PASSWORD", password);
        command.env("SIGNING_KEY", fs::read_to_string(key("cosign.key")).unwrap());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = sign("wrong");
    assert!(
        code == Some(2) && said.contains("--key env:SIGNING_KEY: does not match the password in COSIGN_PASSWORD"),
        "{said}"
    );
    let blobs = files(&workspace.path("image/blobs")).len();
    assert_eq!(sign("secret"), (Some(0), String::new()));
    assert_eq!(files(&workspace.path("image/blobs")).len(), blobs, "of the signature before nothing is left");
    workspace.ok(&format!("package verify image --key {}", key("cosign.pub")));
    workspace.fails(1, &format!("package verify image --key {public}"));

    // in a registry
    let registry = OciRegistry::start();
    let name = format!("{}/houses/model", registry.address);
    let told_of = workspace.ok(&format!("package push image {name}:1"));
    let pinned = format!("{name}@{}", message["digest"].as_str().unwrap());
    assert_eq!(told_of, format!("push      done: {pinned}\n"));
    tool("cosign", &["verify", "--key", &key("cosign.pub"), offline, &pinned]);
    let (content, said) = tool_says("cosign", &["verify", "--key", &public, offline, &pinned]);
    assert!(!content, "{said}");
    // cosign 2.5 reads Sigstore bundles of images as attestations
    let attested = |public: &str| {
        let what = ["verify-attestation", "--key", public, "--type", "https://sigstore.dev/cosign/sign/v1"];
        tool_says("cosign", &[&what[..], &new[..], &[&pinned]].concat())
    };
    let (content, said) = attested(&key("cosign.pub"));
    assert!(content, "{said}");
    assert!(!attested(&public).0, "another key");
    // what refers to the image already stays in the registry's list
    workspace.ok(&format!("package sign image --key {private} --push {name}:1"));
    assert!(attested(&public).0 && attested(&key("cosign.pub")).0);
    // a layout whose two signatures are not of one key
    let said = mixed_layout(&workspace);
    assert!(said.contains("legacy signature: its signature is not this key's of this content"), "{said}");
    let said = workspace.fails(2, &format!("package verify {archive} --key nowhere.pub"));
    assert!(said.contains("--key nowhere.pub: cannot read it"), "{said}");
    let said = workspace.fails(2, &format!("package sign nowhere --key {private}"));
    assert!(said.contains("nowhere: is neither a file nor an image layout"), "{said}");
    // nobody is there
    let said = workspace.fails(2, "package push image 127.0.0.1:9/houses/model:1");
    assert!(said.contains("127.0.0.1:9/houses/model:1: cannot log in to 127.0.0.1:9"), "{said}");
}

#[test]
fn an_image_for_two_processors_keeps_its_digest_on_its_way() {
    let workspace = packaged(300);
    // a program for arm64 cannot be made here: the head of one stands in, which is all that is looked at
    let mut arm = vec![0_u8; 120];
    arm[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (arm[18], arm[32], arm[54], arm[56], arm[64]) = (183, 64, 56, 1, 1);
    workspace.write("serve-arm64", &arm);
    let registry = OciRegistry::start();
    let name = format!("{}/houses/both", registry.address);
    let message = image(&workspace, "image", &format!("--serve serve-arm64 --push {name}:2.0"));
    assert_eq!(message["platforms"], json!(["linux/amd64", "linux/arm64"]));
    let digest = message["digest"].as_str().unwrap();
    assert_eq!(message["pushed"], format!("{name}@{digest}"));
    assert!(workspace.ok("package verify image").contains(&format!("{digest} for linux/amd64 and linux/arm64 with m ")));
    workspace.ok(&format!("package sign image --key {} --push {name}:2.0", key("key.pem")));
    tool("cosign", &["verify", "--key", &key("key.pub"), "--insecure-ignore-tlog=true", &format!("{name}@{digest}")]);
    let raw = tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}:2.0")]);
    let platforms: Vec<Value> = serde_json::from_str::<Value>(&raw).unwrap()["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|manifest| manifest["platform"]["architecture"].clone())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    // and back again
    let back = format!("oci:{}:2.0", workspace.path("back").display());
    tool("skopeo", &["copy", "--all", "--src-tls-verify=false", &format!("docker://{name}:2.0"), &back]);
    assert_eq!(workspace.json("back/index.json")["manifests"][0]["digest"], digest);
    workspace.ok("package verify back");
}

#[test]
fn podman_runs_the_image_without_rights_and_it_ends_well() {
    let workspace = packaged(300);
    let registry = OciRegistry::start();
    let name = format!("{}/houses/run:1", registry.address);
    image(&workspace, "image", &format!("--push {name}"));
    let podman = Podman::new();
    podman.ok(&["pull", "--tls-verify=false", "--quiet", &name]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    podman.ok(&[
        "run",
        "--detach",
        "--name",
        "houses",
        "--network",
        "host",
        "--read-only",
        "--cap-drop",
        "all",
        "--security-opt",
        "no-new-privileges",
        &name,
        "--model",
        "/model",
        "--listen",
        &address,
        "--metrics-listen",
        "none",
    ]);
    let begun = Instant::now();
    let asked = ["exec", "houses", "/serve", "healthcheck", "--address", &address];
    while !podman.run(&asked).0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", podman.run(&["logs", "houses"]).1);
        sleep(Duration::from_millis(50));
    }
    let (healthy, message) = podman.run(&["exec", "houses", "/serve", "healthcheck", "--address", "127.0.0.1:9"]);
    assert!(!healthy && message.contains("does not respond"), "{message}");
    let request = client().post(format!("http://{address}/predict")).header("content-type", "application/json");
    let (status, message) = answer(request.body(a_house().to_string()));
    assert_eq!(status, 200, "{message}");
    // as the bundle predicts outside
    workspace.write("row.csv", "sqft,bedrooms,bathrooms,location,year_built,condition\n1527,2,1.5,Suburban,1956,Good\n");
    workspace.ok(&format!("serve predict --model {} --input row.csv --output out.csv", bundle(&workspace)));
    let price = message["predicted_price"].as_f64().unwrap();
    assert!(workspace.read("out.csv").contains(&format!(",{price}")), "{price}\n{}", workspace.read("out.csv"));
    // nothing can be written, nothing is there to write with
    assert!(!podman.run(&["exec", "houses", "/bin/sh", "-c", "true"]).0);
    let state =
        podman.ok(&["inspect", "houses", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.EffectiveCaps}}"]);
    assert_eq!(state.trim(), "true 65532:65532 []");
    podman.ok(&["stop", "--time", "30", "houses"]);
    assert_eq!(podman.ok(&["inspect", "houses", "--format", "{{.State.ExitCode}}"]).trim(), "0");
}
