//! Signatures in cosign's first form, and their verification.

use std::path::{Path, PathBuf};

use artifact::read_bounded;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    image::{
        layout::{KIND, Layout, NAME},
        oci_registry::tag_of,
    },
    signature::key::PublicKey,
};

/// The annotation that holds the signature of an image.
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

pub(crate) const SIGNATURES: &str = "dev.cosignproject.cosign/sigs";

pub(crate) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

pub(crate) const PAYLOAD_KIND: &str = "cosign container image signature";

/// The media type of a configuration that says nothing (OCI image specification 1.1).
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Bytes of a file that is signed: those that are made here are archives, programs and bills of materials.
pub(crate) const MAX_SIGNED_BYTES: u64 = 2 << 30;

/// Bytes of a signature beside a file.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 1 << 20;

/// What the name of a signature beside a file ends in.
pub(crate) const SIGSTORE_BUNDLE: &str = ".sigstore.json";

pub(crate) const LEGACY: &str = ".sig";

/// Where a file's signature is.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// What is signed of an image, in the form of "simple signing" (containers/image, docs/containers-signature.5): the digest counts.
pub(crate) fn payload(name: &str, digest: &str) -> Vec<u8> {
    let critical = json!({
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": PAYLOAD_KIND,
    });
    json!({"critical": critical, "optional": null}).to_string().into_bytes()
}

/// Puts a signature into a layout, as `cosign save` lays it out.
pub(crate) fn attach(layout: &mut Layout, image: &Descriptor, payload: Vec<u8>, signature: &str) -> anyhow::Result<()> {
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

/// Puts a Sigstore bundle into a layout, as an artifact that refers to the image (OCI image specification 1.1).
pub(crate) fn attach_bundle(layout: &mut Layout, image: &Descriptor, bundle: &Value) -> anyhow::Result<()> {
    let artifact_type = MediaType::Other(crate::signature::sigstore::MEDIA_TYPE.into());
    let layer = layout.put_json(artifact_type.clone(), bundle)?;
    let mut config = layout.put(MediaType::Other(EMPTY.into()), b"{}".to_vec())?;
    // where cosign looks for it
    config.set_artifact_type(Some(artifact_type.clone()));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": artifact_type,
        "config": config,
        "layers": [layer],
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": crate::signature::sigstore::PREDICATE,
        },
        "subject": {"mediaType": image.media_type(), "digest": image.digest(), "size": image.size()},
    });
    let mut manifest = layout.put_json(MediaType::ImageManifest, &manifest)?;
    manifest.set_artifact_type(Some(artifact_type));
    layout.name(manifest, &[]);
    Ok(())
}

/// In what form something is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    SigstoreBundle,
    Legacy,
}

impl Form {
    /// What it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SigstoreBundle => "Sigstore bundle",
            Self::Legacy => "legacy signature",
        }
    }
}

/// Checks the signatures beside a file; returns the forms that there are. If there are two, both must be the key's of this file.
///
/// # Errors
/// Says what is missing or wrong.
pub(crate) fn check_file(path: &Path, key: &PublicKey) -> Result<Vec<Form>, String> {
    let (bundle, legacy) = (beside(path, SIGSTORE_BUNDLE), beside(path, LEGACY));
    let read = |path: &Path| {
        let text = path.exists().then(|| read_bounded(path, MAX_SIGNATURE_BYTES));
        text.transpose().map_err(|error| error.to_string())
    };
    let content = read_bounded(path, MAX_SIGNED_BYTES).map_err(|error| error.to_string())?;
    let mut forms = Vec::new();
    let at = |path: &Path, fault: String| format!("{}: {fault}", path.display());
    if let Some(text) = read(&bundle)? {
        crate::signature::sigstore::check_file(&text, &content, key).map_err(|fault| at(&bundle, fault))?;
        forms.push(Form::SigstoreBundle);
    }
    if let Some(text) = read(&legacy)? {
        key.verify(&content, &String::from_utf8_lossy(&text)).map_err(|fault| at(&legacy, fault))?;
        forms.push(Form::Legacy);
    }
    if forms.is_empty() {
        return Err(format!("{} is missing, and so is {}: it is not signed", bundle.display(), legacy.display()));
    }
    Ok(forms)
}

/// Whether an entry of a layout is a signature of the older form.
pub(crate) fn is_legacy(entry: &Descriptor) -> bool {
    entry.annotations().as_ref().and_then(|found| found.get(KIND)).is_some_and(|kind| kind == SIGNATURES)
}

/// Checks the signatures in a layout: that they are the key's, and of this image; returns the forms that there are.
///
/// # Errors
/// Says what is missing or wrong.
pub(crate) fn check_layout(layout: &Layout, key: &PublicKey) -> Result<Vec<Form>, String> {
    let image = layout.image().map_err(|error| format!("{error:#}"))?;
    let mut forms = Vec::new();
    if check_bundles(layout, image, key).map_err(|fault| format!("Sigstore bundle: {fault}"))? {
        forms.push(Form::SigstoreBundle);
    }
    if let Some(entry) = layout.entries().iter().find(|entry| is_legacy(entry)) {
        check_legacy(layout, entry, image, key).map_err(|fault| format!("legacy signature: {fault}"))?;
        forms.push(Form::Legacy);
    }
    if forms.is_empty() { Err("it is not signed".into()) } else { Ok(forms) }
}

/// Whether one of the Sigstore bundles that refer to an image says that the key signed it; `Ok(false)` if there are none.
pub(crate) fn check_bundles(layout: &Layout, image: &Descriptor, key: &PublicKey) -> Result<bool, String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let mut fault = None;
    for entry in layout.entries().iter().skip(1).filter(|entry| !is_legacy(entry)) {
        let manifest =
            ImageManifest::from_reader(layout.document(entry).map_err(text)?).map_err(|error| error.to_string())?;
        if manifest.subject().as_ref().is_none_or(|subject| subject.digest() != image.digest()) {
            continue;
        }
        let is_bundle =
            |layer: &&Descriptor| *layer.media_type() == MediaType::Other(crate::signature::sigstore::MEDIA_TYPE.into());
        for layer in manifest.layers().iter().filter(is_bundle) {
            match crate::signature::sigstore::check_image(
                layout.document(layer).map_err(text)?,
                image.digest().digest(),
                key,
            ) {
                Ok(true) => return Ok(true),
                // an attestation
                Ok(false) => {}
                Err(found) => fault = Some(found),
            }
        }
    }
    fault.map_or(Ok(false), Err)
}

pub(crate) fn check_legacy(layout: &Layout, entry: &Descriptor, image: &Descriptor, key: &PublicKey) -> Result<(), String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let manifest = ImageManifest::from_reader(layout.document(entry).map_err(text)?).map_err(|error| error.to_string())?;
    let mut fault = "its signature is empty".to_owned();
    for layer in manifest.layers() {
        let Some(signature) = layer.annotations().as_ref().and_then(|found| found.get(SIGNATURE)) else { continue };
        let payload = layout.document(layer).map_err(text)?;
        match key.verify(payload, signature).and_then(|()| claims(payload, image.digest().as_ref())) {
            Ok(()) => return Ok(()),
            Err(found) => fault = found,
        }
    }
    Err(fault)
}

/// Whether a payload is about the image of this digest.
pub(crate) fn claims(payload: &[u8], digest: &str) -> Result<(), String> {
    let claim: Value = serde_json::from_slice(payload).map_err(|error| format!("its signature is of no image: {error}"))?;
    let critical = &claim["critical"];
    if critical["type"] == PAYLOAD_KIND && critical["image"]["docker-manifest-digest"] == digest {
        Ok(())
    } else {
        Err("its signature is that of another image".into())
    }
}
