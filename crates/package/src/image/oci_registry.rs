//! Pushes a layout to a registry byte for byte, so that its digest stays the same.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use oci_client::{
    Client, Reference, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde_json::json;
use tracking::choose_cryptography;

use crate::image::layout::ImageLayout;

const MANIFEST_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"];
/// The variable with the user name for the registry.
const USER_VARIABLE: &str = "REGISTRY_USER";
const PASSWORD_VARIABLE: &str = "REGISTRY_PASSWORD";

/// A repository in a registry, with a login.
pub(crate) struct Repository {
    client: Client,
    image: Reference,
}

/// Parses `REGISTRY/NAME:TAG`.
///
/// # Errors
/// If the text has another form.
pub(crate) fn parse_reference(text: &str) -> anyhow::Result<Reference> {
    let reference: Reference = text.parse().with_context(|| format!("{text}: write REGISTRY/NAME:TAG"))?;
    ensure!(reference.digest().is_none(), "{text}: the digest is that of the image; write REGISTRY/NAME:TAG");
    Ok(reference)
}

impl Repository {
    /// Logs in.
    ///
    /// # Errors
    /// If the registry cannot be reached, or rejects the login.
    pub(crate) async fn open(image: Reference) -> anyhow::Result<Self> {
        choose_cryptography();
        let registry = image.resolve_registry().to_owned();
        let plain = is_loopback(&registry).then(|| registry.clone());
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain.into_iter().collect()),
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_mins(2)),
            user_agent: concat!("house-price-predictor/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).context("cannot create a registry client")?;
        // later requests would continue without the failed login
        let login = client.auth(&image, &credentials(&registry), RegistryOperation::Push).await;
        login.with_context(|| format!("{image}: cannot log in to {registry}"))?;
        Ok(Self { client, image })
    }

    /// Pushes a manifest and everything that it names under the requested tag. Existing blobs are not sent again.
    ///
    /// # Errors
    /// If something is rejected, or the registry has another content afterwards.
    pub(crate) async fn push_image(&self, layout: &ImageLayout) -> anyhow::Result<()> {
        let image = layout.image()?;
        for (descriptor, manifest) in layout.manifests()? {
            for blob in std::iter::once(manifest.config()).chain(manifest.layers()) {
                self.push_blob(layout, blob).await?;
            }
            if descriptor.digest() != image.digest() {
                let at = self.image.clone_with_digest(descriptor.digest().to_string());
                self.push_manifest(&at, &descriptor, layout.blob(&descriptor)?).await?;
            }
        }
        self.push_manifest(&self.image, image, layout.blob(image)?).await
    }

    /// Pushes a signature under its tag.
    ///
    /// # Errors
    /// If something is rejected.
    pub(crate) async fn push_signature(&self, layout: &ImageLayout, manifest: &Descriptor, tag: &str) -> anyhow::Result<()> {
        let bytes = self.push_parts(layout, manifest).await?;
        self.push_manifest(&self.tagged(tag), manifest, bytes).await
    }

    /// Pushes an artifact that refers to the image. A registry without the referrers API (distribution specification 1.1) gets the list under
    /// a tag, as the specification requires.
    ///
    /// # Errors
    /// If something is rejected.
    pub(crate) async fn push_referrer(&self, layout: &ImageLayout, manifest: &Descriptor) -> anyhow::Result<()> {
        let image = layout.image()?;
        let parsed = ImageManifest::from_reader(layout.document(manifest)?)?;
        if parsed.subject().as_ref().is_none_or(|subject| subject.digest() != image.digest()) {
            // another image of the layout
            return Ok(());
        }
        let bytes = self.push_parts(layout, manifest).await?;
        let at = self.image.clone_with_digest(manifest.digest().to_string());
        self.push_manifest(&at, manifest, bytes).await?;
        let subject = self.image.clone_with_digest(image.digest().to_string());
        let listed = self.client.pull_referrers(&subject, None).await;
        let listed = listed.with_context(|| format!("{subject}: cannot list its referrers"))?;
        if listed.manifests.iter().any(|entry| entry.digest == manifest.digest().to_string()) {
            return Ok(());
        }
        let mut entries = listed.manifests.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        let mut entry = manifest.clone();
        entry.set_annotations(None);
        entries.push(serde_json::to_value(entry)?);
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex, "manifests": entries});
        let mut list = ImageLayout::default();
        let index = list.add_json(MediaType::ImageIndex, &index)?;
        let tag = format!("sha256-{}", image.digest().digest());
        self.push_manifest(&self.tagged(&tag), &index, list.blob(&index)?).await
    }

    /// Pushes the blobs that a manifest names; returns its bytes.
    async fn push_parts<'a>(&self, layout: &'a ImageLayout, manifest: &Descriptor) -> anyhow::Result<&'a [u8]> {
        let bytes = layout.document(manifest)?;
        let parsed = ImageManifest::from_reader(bytes)?;
        for blob in std::iter::once(parsed.config()).chain(parsed.layers()) {
            self.push_blob(layout, blob).await?;
        }
        Ok(bytes)
    }

    fn tagged(&self, tag: &str) -> Reference {
        Reference::with_tag(self.image.registry().into(), self.image.repository().into(), tag.to_owned())
    }

    async fn push_blob(&self, layout: &ImageLayout, blob: &Descriptor) -> anyhow::Result<()> {
        let digest = blob.digest().to_string();
        let context = || format!("{}: blob {digest}", self.image);
        if !self.client.blob_exists(&self.image, &digest).await.with_context(context)? {
            let bytes = bytes::Bytes::copy_from_slice(layout.blob(blob)?);
            self.client.push_blob(&self.image, bytes, &digest).await.with_context(context)?;
        }
        Ok(())
    }

    async fn push_manifest(&self, at: &Reference, manifest: &Descriptor, bytes: &[u8]) -> anyhow::Result<()> {
        let context = || format!("pushing {at}");
        let media_type = manifest.media_type().to_string().parse().context("invalid media type")?;
        self.client.push_manifest_raw(at, bytes.to_vec(), media_type).await.with_context(context)?;
        // the client is logged in already
        let (_, there) = self
            .client
            .pull_manifest_raw(at, &RegistryAuth::Anonymous, &MANIFEST_MEDIA_TYPES)
            .await
            .with_context(context)?;
        let digest = manifest.digest().to_string();
        ensure!(there == digest, "{at}: the registry has {there}, but {digest} was sent");
        Ok(())
    }

    /// `REGISTRY/NAME@DIGEST`.
    pub(crate) fn pinned(&self, image: &Descriptor) -> String {
        format!("{}/{}@{}", self.image.registry(), self.image.repository(), image.digest())
    }
}

/// Whether a registry is on this machine, where TLS is not used.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// The login: two variables, or the configuration of `docker login`.
fn credentials(registry: &str) -> RegistryAuth {
    if let (Some(user), Some(password)) = (cli::variable(USER_VARIABLE), cli::variable(PASSWORD_VARIABLE)) {
        return RegistryAuth::Basic(user, password);
    }
    let folder = cli::variable("DOCKER_CONFIG").or_else(|| cli::variable("HOME").map(|home| format!("{home}/.docker")));
    let Some(text) = folder.and_then(|folder| std::fs::read_to_string(format!("{folder}/config.json")).ok()) else {
        return RegistryAuth::Anonymous;
    };
    docker_login(&text, registry).map_or(RegistryAuth::Anonymous, |(user, password)| RegistryAuth::Basic(user, password))
}

/// User and password for a registry in Docker's configuration. Credential helpers are not used.
fn docker_login(config: &str, registry: &str) -> Option<(String, String)> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    let names = [registry.to_owned(), format!("https://{registry}"), format!("https://{registry}/v1/")];
    let entry = names.iter().find_map(|name| config["auths"].get(name))?;
    let decoded = String::from_utf8(STANDARD.decode(entry["auth"].as_str()?).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The tag under which cosign looks for an image's signature.
pub(crate) fn signature_tag(image: &Descriptor) -> String {
    format!("sha256-{}.sig", image.digest().digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_those_of_docker() {
        // "ada:se:cret"
        let config =
            r#"{"auths": {"ghcr.io": {"auth": "YWRhOnNlOmNyZXQ="}, "https://index.docker.io/v1/": {"auth": "YWRhOng="}}}"#;
        assert_eq!(docker_login(config, "ghcr.io"), Some(("ada".into(), "se:cret".into())));
        assert_eq!(docker_login(config, "index.docker.io"), Some(("ada".into(), "x".into())));
        assert_eq!(docker_login(config, "quay.io"), None);
        assert_eq!(docker_login("{}", "ghcr.io"), None);
        assert!(["localhost:5000", "127.0.0.1:5000"].into_iter().all(is_loopback));
        assert!(!is_loopback("ghcr.io") && !is_loopback("registry.example:5000"));
    }

    #[test]
    fn references_are_understood() {
        assert_eq!(parse_reference("127.0.0.1:5000/a/b:1").unwrap().tag(), Some("1"));
        for text in ["", "a b", "x@sha256:0000000000000000000000000000000000000000000000000000000000000000"] {
            assert!(parse_reference(text).unwrap_err().to_string().contains("write REGISTRY/NAME:TAG"), "{text}");
        }
    }
}
