//! `package sign`: signatures that cosign verifies, too. A file's is beside it; an image's is in its layout, and in the registry under the
//! tag where cosign looks for it.

mod cosign_key;
mod key;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use artifact::{RunPaths, write_atomically};
use cli::Outcome;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    args::SignArgs,
    image::{
        layout::{KIND, Layout, NAME, is_layout},
        registry, send,
    },
};
pub(crate) use key::PublicKey;
use key::{PrivateKey, given};

/// The annotation that holds the signature of an image.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const PAYLOAD_KIND: &str = "cosign container image signature";
/// The variable that holds the password of an encrypted key, as cosign has it.
const PASSWORD: &str = "COSIGN_PASSWORD";

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    signed: &'a Path,
    signature: Option<&'a Path>,
    digest: Option<String>,
    pushed: Option<&'a str>,
}

/// Signs a file or an image layout.
///
/// # Errors
/// If the key cannot be used, or something cannot be read, written or pushed.
pub(crate) fn sign(args: &SignArgs) -> anyhow::Result<Outcome> {
    let path = args.what.as_path();
    check_paths(args)?;
    let password = cli::variable(PASSWORD);
    let key = PrivateKey::read(&given(&args.key)?, password.as_deref()).with_context(|| format!("--key {}", args.key))?;
    if !is_layout(path) {
        ensure!(args.push.is_none(), "--push is for images; {} is none", path.display());
        ensure!(path.is_file(), "{}: is neither a file nor an image layout", path.display());
        let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read it", path.display()))?;
        let beside = signature_path(path);
        write_atomically(&beside, format!("{}\n", key.sign(&bytes)?).as_bytes())?;
        let summary = Summary { status: "signed", signed: path, signature: Some(&beside), digest: None, pushed: None };
        return Ok(Outcome::done(&summary, format!("sign      done: {}", beside.display())));
    }
    let push = args.push.as_deref().map(registry::parse).transpose()?;
    let mut layout = Layout::read(path)?;
    layout.keep_image_alone()?;
    let image = layout.image()?.clone();
    let digest = image.digest().to_string();
    let name =
        push.as_ref().map_or("localhost/image".to_owned(), |push| format!("{}/{}", push.registry(), push.repository()));
    let payload = payload(&name, &digest);
    let signature = key.sign(&payload)?;
    attach(&mut layout, &image, payload, &signature)?;
    layout.write(path)?;
    let pushed = push.map(|reference| send(reference, &layout)).transpose()?;
    let human = format!(
        "sign      done: {digest} in {}{}",
        path.display(),
        pushed.as_ref().map_or(String::new(), |pushed| format!("\n          → {pushed}"))
    );
    let summary =
        Summary { status: "signed", signed: path, signature: None, digest: Some(digest), pushed: pushed.as_deref() };
    Ok(Outcome::done(&summary, human))
}

/// That the key is not written over: by the signature of a file, or as a file in the folder of an image, which is replaced.
fn check_paths(args: &SignArgs) -> anyhow::Result<()> {
    let paths = key::file(&args.key).into_iter().fold(RunPaths::default(), |paths, key| paths.input("--key", key));
    let paths = if is_layout(&args.what) {
        paths.output_folder("PATH", &args.what)
    } else {
        paths.input("PATH", &args.what).output("the signature of PATH", &signature_path(&args.what))
    };
    Ok(paths.check()?)
}

/// Where a file's signature is.
fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The tag under which cosign looks for an image's signature.
pub(crate) fn tag_of(image: &Descriptor) -> String {
    format!("sha256-{}.sig", image.digest().digest())
}

/// What is signed of an image, in the form of "simple signing" (containers/image, docs/containers-signature.5): the digest counts.
fn payload(name: &str, digest: &str) -> Vec<u8> {
    let critical = json!({
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": PAYLOAD_KIND,
    });
    json!({"critical": critical, "optional": null}).to_string().into_bytes()
}

/// Puts a signature into a layout, as `cosign save` lays it out.
fn attach(layout: &mut Layout, image: &Descriptor, payload: Vec<u8>, signature: &str) -> anyhow::Result<()> {
    let mut layer = layout.put(MediaType::Other(PAYLOAD.into()), payload)?;
    let config = json!({
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest().to_string()]},
    });
    layer.set_annotations(Some([(SIGNATURE.to_owned(), signature.to_owned())].into()));
    let config = layout.put_json(MediaType::ImageConfig, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": [layer],
    });
    let manifest = layout.put_json(MediaType::ImageManifest, &manifest)?;
    layout.name(manifest, &[(KIND, SIGNATURES), (NAME, &tag_of(image))]);
    Ok(())
}

/// Checks the signature beside a file.
///
/// # Errors
/// Says what is missing or wrong.
pub(crate) fn check_file(path: &Path, key: &PublicKey) -> Result<(), String> {
    let beside = signature_path(path);
    let signature =
        std::fs::read_to_string(&beside).map_err(|_| format!("{} is missing: it is not signed", beside.display()))?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    key.verify(&bytes, &signature)
}

/// Checks the signature in a layout: that it is the key's, and of this image.
///
/// # Errors
/// Says what is missing or wrong.
pub(crate) fn check_layout(layout: &Layout, key: &PublicKey) -> Result<(), String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let image = layout.image().map_err(text)?;
    let is_signature = |entry: &&Descriptor| {
        entry.annotations().as_ref().and_then(|found| found.get(KIND)).is_some_and(|kind| kind == SIGNATURES)
    };
    let Some(entry) = layout.entries().iter().find(is_signature) else { return Err("it is not signed".into()) };
    let manifest = ImageManifest::from_reader(layout.blob(entry).map_err(text)?).map_err(|error| error.to_string())?;
    let mut fault = "its signature is empty".to_owned();
    for layer in manifest.layers() {
        let Some(signature) = layer.annotations().as_ref().and_then(|found| found.get(SIGNATURE)) else { continue };
        let payload = layout.blob(layer).map_err(text)?;
        match key.verify(payload, signature).and_then(|()| claims(payload, image.digest().as_ref())) {
            Ok(()) => return Ok(()),
            Err(found) => fault = found,
        }
    }
    Err(fault)
}

/// Whether a payload is about the image of this digest.
fn claims(payload: &[u8], digest: &str) -> Result<(), String> {
    let claim: Value = serde_json::from_slice(payload).map_err(|error| format!("its signature is of no image: {error}"))?;
    let critical = &claim["critical"];
    if critical["type"] == PAYLOAD_KIND && critical["image"]["docker-manifest-digest"] == digest {
        Ok(())
    } else {
        Err("its signature is that of another image".into())
    }
}
