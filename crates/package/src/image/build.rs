//! Builds the image of one platform: its layers and its configuration.

use std::collections::HashMap;

use artifact::{BundleFiles, BundleManifest, Digest};
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageManifestBuilder, MediaType, Os,
    PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};

use crate::image::layout::{ImageLayout, Layer, LayerEntry};

/// The folder of the bundle in the image.
pub(crate) const MODEL_FOLDER: &str = "model";

/// The user and group id of "nonroot" in distroless images.
pub(crate) const USER_ID: u32 = 65532;

/// A fixed time, because the same content must give the same bytes.
pub(crate) const CREATION_TIME: &str = "1970-01-01T00:00:00Z";

pub(crate) const EXPOSED_PORTS: [&str; 2] = ["8000/tcp", "8001/tcp"];

/// Builds the image for one platform: a layer with the program, which is the same for all models, and one with the bundle.
pub(crate) fn build_platform(
    layout: &mut ImageLayout,
    arch: &Arch,
    program: &[u8],
    bundle: &BundleManifest,
    files: &BundleFiles,
) -> anyhow::Result<Descriptor> {
    let users = format!("nonroot:x:{USER_ID}:{USER_ID}:nonroot:/:/sbin/nologin\n");
    let groups = format!("nonroot:x:{USER_ID}:\n");
    let file = |path: &str, mode, content| LayerEntry { path: path.to_owned(), mode, content: Some(content) };
    let folder = |path: &str, mode| LayerEntry { path: path.to_owned(), mode, content: None };
    let base = layout.add_layer(&[
        folder("etc/", 0o755),
        file("etc/group", 0o644, groups.as_bytes()),
        file("etc/passwd", 0o644, users.as_bytes()),
        file("serve", 0o755, program),
        // long responses are stored here: mount a writable folder
        folder("tmp/", 0o1777),
    ])?;
    let mut packed = vec![folder(&format!("{MODEL_FOLDER}/"), 0o755)];
    packed.extend(files.iter().map(|(name, content)| file(&format!("{MODEL_FOLDER}/{name}"), 0o644, content)));
    let model = layout.add_layer(&packed)?;

    let labels = [
        (TITLE_LABEL, bundle.name.as_str()),
        (VERSION_LABEL, bundle.content_id.as_str()),
        ("org.opencontainers.image.licenses", "MIT OR Apache-2.0"),
    ];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let config = ConfigBuilder::default()
        .user(format!("{USER_ID}:{USER_ID}"))
        .exposed_ports(words(&EXPOSED_PORTS))
        .env(words(&["PATH=/"]))
        .entrypoint(words(&["/serve"]))
        .cmd(words(&["--model", "/model", "--listen", "0.0.0.0:8000", "--metrics-listen", "0.0.0.0:8001"]))
        .working_dir("/".to_owned())
        .stop_signal("SIGTERM".to_owned())
        .labels(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<HashMap<_, _>>())
        .build()?;
    let history = |what: String| HistoryBuilder::default().created(CREATION_TIME).created_by(what).build();
    let diff_ids = [&base, &model].map(|layer: &Layer| layer.diff_id.clone());
    let image = ImageConfigurationBuilder::default()
        .created(CREATION_TIME)
        .architecture(arch.clone())
        .os(Os::Linux)
        .config(config)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids.to_vec()).build()?)
        .history(vec![history("serve".into())?, history(format!("model {}", bundle.folder()))?])
        .build()?;
    let config = layout.add_json(MediaType::ImageConfig, &image)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![base.descriptor, model.descriptor])
        .build()?;
    let mut descriptor = layout.add_json(MediaType::ImageManifest, &manifest)?;
    descriptor.set_platform(Some(PlatformBuilder::default().architecture(arch.clone()).os(Os::Linux).build()?));
    Ok(descriptor)
}

/// The digest of a bundle's manifest, which lists the other files with their digests.
pub(crate) fn manifest_digest(files: &BundleFiles) -> Digest {
    Digest::of_bytes(files.get(artifact::BUNDLE_MANIFEST).map_or(&[][..], Vec::as_slice))
}

/// The label with the name of the model.
pub(crate) const TITLE_LABEL: &str = "org.opencontainers.image.title";

pub(crate) const VERSION_LABEL: &str = "org.opencontainers.image.version";
