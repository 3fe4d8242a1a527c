//! Signatures in the older form of cosign, and the verification of both forms.

use std::path::{Path, PathBuf};

use artifact::read_bounded;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    image::{
        layout::{ImageLayout, KIND_ANNOTATION, NAME_ANNOTATION},
        oci_registry::signature_tag,
    },
    signature::key::PublicKey,
};

/// The annotation that holds the signature of an image.
pub(crate) const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";

pub(crate) const SIGNATURES_KIND: &str = "dev.cosignproject.cosign/sigs";

pub(crate) const PAYLOAD_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

pub(crate) const PAYLOAD_TYPE: &str = "cosign container image signature";

/// The media type of an empty configuration (OCI image specification 1.1).
pub(crate) const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// Maximum bytes of a signed file: archives, programs and bills of materials.
pub(crate) const MAX_SIGNED_BYTES: u64 = 2 << 30;

/// Maximum bytes of a signature file.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 1 << 20;

/// The suffix of a Sigstore bundle's file name.
pub(crate) const SIGSTORE_BUNDLE_SUFFIX: &str = ".sigstore.json";

pub(crate) const LEGACY_SUFFIX: &str = ".sig";

/// The path with a suffix.
pub(crate) fn with_suffix(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The signed payload of an image in the "simple signing" form (containers/image, docs/containers-signature.5), which states its digest.
pub(crate) fn payload(name: &str, digest: &str) -> Vec<u8> {
    let critical = json!({
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": PAYLOAD_TYPE,
    });
    json!({"critical": critical, "optional": null}).to_string().into_bytes()
}

/// Adds a signature to a layout, in the form of `cosign save`.
pub(crate) fn attach(layout: &mut ImageLayout, image: &Descriptor, payload: Vec<u8>, signature: &str) -> anyhow::Result<()> {
    let mut layer = layout.add_blob(MediaType::Other(PAYLOAD_MEDIA_TYPE.into()), payload)?;
    let config = json!({
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest().to_string()]},
    });
    layer.set_annotations(Some([(SIGNATURE_ANNOTATION.to_owned(), signature.to_owned())].into()));
    let config = layout.add_json(MediaType::ImageConfig, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": [layer],
    });
    let manifest = layout.add_json(MediaType::ImageManifest, &manifest)?;
    layout.add_entry(manifest, &[(KIND_ANNOTATION, SIGNATURES_KIND), (NAME_ANNOTATION, &signature_tag(image))]);
    Ok(())
}

/// Adds a Sigstore bundle to a layout, as an artifact that refers to the image (OCI image specification 1.1).
pub(crate) fn attach_bundle(layout: &mut ImageLayout, image: &Descriptor, bundle: &Value) -> anyhow::Result<()> {
    let artifact_type = MediaType::Other(crate::signature::sigstore::BUNDLE_MEDIA_TYPE.into());
    let layer = layout.add_json(artifact_type.clone(), bundle)?;
    let mut config = layout.add_blob(MediaType::Other(EMPTY_MEDIA_TYPE.into()), b"{}".to_vec())?;
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
            "dev.sigstore.bundle.predicateType": crate::signature::sigstore::SIGNATURE_PREDICATE,
        },
        "subject": {"mediaType": image.media_type(), "digest": image.digest(), "size": image.size()},
    });
    let mut manifest = layout.add_json(MediaType::ImageManifest, &manifest)?;
    manifest.set_artifact_type(Some(artifact_type));
    layout.add_entry(manifest, &[]);
    Ok(())
}

/// The form of a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SignatureForm {
    SigstoreBundle,
    Legacy,
}

impl SignatureForm {
    /// The name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SigstoreBundle => "Sigstore bundle",
            Self::Legacy => "legacy signature",
        }
    }
}

/// Checks the signature files of a file; returns their forms. If there are two, both must be valid.
///
/// # Errors
/// Names the missing file or the problem.
pub(crate) fn check_file(path: &Path, key: &PublicKey) -> Result<Vec<SignatureForm>, String> {
    let (bundle, legacy) = (with_suffix(path, SIGSTORE_BUNDLE_SUFFIX), with_suffix(path, LEGACY_SUFFIX));
    let read = |path: &Path| {
        let text = path.exists().then(|| read_bounded(path, MAX_SIGNATURE_BYTES));
        text.transpose().map_err(|error| error.to_string())
    };
    let content = read_bounded(path, MAX_SIGNED_BYTES).map_err(|error| error.to_string())?;
    let mut forms = Vec::new();
    let at = |path: &Path, error: String| format!("{}: {error}", path.display());
    if let Some(text) = read(&bundle)? {
        crate::signature::sigstore::check_file(&text, &content, key).map_err(|error| at(&bundle, error))?;
        forms.push(SignatureForm::SigstoreBundle);
    }
    if let Some(text) = read(&legacy)? {
        key.verify(&content, &String::from_utf8_lossy(&text)).map_err(|error| at(&legacy, error))?;
        forms.push(SignatureForm::Legacy);
    }
    if forms.is_empty() {
        return Err(format!("it is not signed: neither {} nor {} exists", bundle.display(), legacy.display()));
    }
    Ok(forms)
}

/// Whether an entry of a layout is a signature of the older form.
pub(crate) fn is_legacy(entry: &Descriptor) -> bool {
    entry
        .annotations()
        .as_ref()
        .and_then(|annotations| annotations.get(KIND_ANNOTATION))
        .is_some_and(|kind| kind == SIGNATURES_KIND)
}

/// Checks that the signatures in a layout are the key's and belong to its image; returns their forms.
///
/// # Errors
/// Names the problem.
pub(crate) fn check_layout(layout: &ImageLayout, key: &PublicKey) -> Result<Vec<SignatureForm>, String> {
    let image = layout.image().map_err(|error| format!("{error:#}"))?;
    let mut forms = Vec::new();
    if check_bundles(layout, image, key).map_err(|error| format!("Sigstore bundle: {error}"))? {
        forms.push(SignatureForm::SigstoreBundle);
    }
    if let Some(entry) = layout.entries().iter().find(|entry| is_legacy(entry)) {
        check_legacy(layout, entry, image, key).map_err(|error| format!("legacy signature: {error}"))?;
        forms.push(SignatureForm::Legacy);
    }
    if forms.is_empty() { Err("it is not signed".into()) } else { Ok(forms) }
}

/// Whether one of the Sigstore bundles of an image is signed by the key; `Ok(false)` if there are no bundles.
pub(crate) fn check_bundles(layout: &ImageLayout, image: &Descriptor, key: &PublicKey) -> Result<bool, String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let mut last_error = None;
    for entry in layout.entries().iter().skip(1).filter(|entry| !is_legacy(entry)) {
        let manifest =
            ImageManifest::from_reader(layout.document(entry).map_err(text)?).map_err(|error| error.to_string())?;
        if manifest.subject().as_ref().is_none_or(|subject| subject.digest() != image.digest()) {
            continue;
        }
        let is_bundle = |layer: &&Descriptor| {
            *layer.media_type() == MediaType::Other(crate::signature::sigstore::BUNDLE_MEDIA_TYPE.into())
        };
        for layer in manifest.layers().iter().filter(is_bundle) {
            match crate::signature::sigstore::check_image(
                layout.document(layer).map_err(text)?,
                image.digest().digest(),
                key,
            ) {
                Ok(true) => return Ok(true),
                // an attestation
                Ok(false) => {}
                Err(error) => last_error = Some(error),
            }
        }
    }
    last_error.map_or(Ok(false), Err)
}

pub(crate) fn check_legacy(
    layout: &ImageLayout,
    entry: &Descriptor,
    image: &Descriptor,
    key: &PublicKey,
) -> Result<(), String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let manifest = ImageManifest::from_reader(layout.document(entry).map_err(text)?).map_err(|error| error.to_string())?;
    let mut last_error = "its signature is empty".to_owned();
    for layer in manifest.layers() {
        let Some(signature) = layer.annotations().as_ref().and_then(|annotations| annotations.get(SIGNATURE_ANNOTATION))
        else {
            continue;
        };
        let payload = layout.document(layer).map_err(text)?;
        match key.verify(payload, signature).and_then(|()| check_claim(payload, image.digest().as_ref())) {
            Ok(()) => return Ok(()),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// Checks that a payload states the digest of the image.
pub(crate) fn check_claim(payload: &[u8], digest: &str) -> Result<(), String> {
    let claim: Value = serde_json::from_slice(payload).map_err(|error| format!("its signature is of no image: {error}"))?;
    let critical = &claim["critical"];
    if critical["type"] == PAYLOAD_TYPE && critical["image"]["docker-manifest-digest"] == digest {
        Ok(())
    } else {
        Err("its signature is that of another image".into())
    }
}
