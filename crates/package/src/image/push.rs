//! Pushes an image with its signatures to a registry (`package push`).

use std::path::Path;

use cli::Outcome;
use serde::Serialize;

use crate::{
    image::{
        layout::ImageLayout,
        oci_registry::{Repository, signature_tag},
    },
    signature::simple_signing::is_legacy,
};

#[derive(Serialize)]
pub(crate) struct PushSummary<'a> {
    pub(crate) status: &'static str,
    pub(crate) image: &'a Path,
    pub(crate) digest: String,
    pub(crate) pushed: &'a str,
}

/// `package push`.
///
/// # Errors
/// If there is no valid image, or the registry cannot be reached or rejects it.
pub(crate) fn push(path: &Path, to: &str) -> anyhow::Result<Outcome> {
    let reference = crate::image::oci_registry::parse_reference(to)?;
    let layout = ImageLayout::read(path)?;
    let digest = layout.image()?.digest().to_string();
    let pushed = push_image(reference, &layout)?;
    let summary = PushSummary { status: "pushed", image: path, digest, pushed: &pushed };
    Ok(Outcome::done(&summary, format!("push      done: {pushed}")))
}

/// Pushes an image and the signatures in its layout; returns `REGISTRY/NAME@DIGEST`.
///
/// # Errors
/// If the registry cannot be reached or rejects it.
pub(crate) fn push_image(reference: oci_client::Reference, layout: &ImageLayout) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let repository = Repository::open(reference).await?;
        repository.push_image(layout).await?;
        let image = layout.image()?;
        for entry in layout.entries().iter().skip(1) {
            if is_legacy(entry) {
                repository.push_signature(layout, entry, &signature_tag(image)).await?;
            } else {
                repository.push_referrer(layout, entry).await?;
            }
        }
        Ok(repository.pinned(layout.image()?))
    })
}
