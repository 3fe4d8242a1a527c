//! An OCI image layout: blobs by digest, and an index of images (OCI image specification 1.1).

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail, ensure};
use artifact::{Digest, TemporaryFolder, clear_abandoned_folders, is_too_dense, read_bounded, resolve_entry};
use flate2::{Compression, GzBuilder};
use oci_spec::image::{
    Descriptor, DescriptorBuilder, ImageIndex, ImageIndexBuilder, ImageManifest, MediaType, SCHEMA_VERSION, Sha256Digest,
};
use serde::Serialize;

/// The file with the version of the layout.
const VERSION_FILE: &str = "oci-layout";
const LAYOUT_VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
/// The name prefix of the temporary folder in which a layout is written.
const TEMPORARY_PREFIX: &str = ".image.";
/// The annotation with the name of an image in a layout.
pub(crate) const NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// The annotation by which cosign recognises the kind of an entry.
pub(crate) const KIND_ANNOTATION: &str = "kind";
/// Maximum bytes of all blobs: two servers, a bundle and signatures.
const MAX_LAYOUT_BYTES: u64 = 2 << 30;
/// Maximum bytes of an index, a manifest, a configuration or a signature, as in registries.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// Maximum number of blobs, more than this program writes.
const MAX_BLOBS: usize = 1000;

/// A layout in memory.
#[derive(Debug, Default)]
pub(crate) struct ImageLayout {
    blobs: BTreeMap<String, Vec<u8>>,
    entries: Vec<Descriptor>,
}

/// A file of a layer; a folder if it has no content.
pub(crate) struct LayerEntry<'a> {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) content: Option<&'a [u8]>,
}

/// A layer: its descriptor, and the digest of its tar.
pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: String,
}

impl ImageLayout {
    /// Adds a blob; returns its descriptor.
    pub(crate) fn add_blob(&mut self, media_type: MediaType, bytes: Vec<u8>) -> anyhow::Result<Descriptor> {
        let digest = Digest::of_bytes(&bytes);
        let descriptor = DescriptorBuilder::default()
            .media_type(media_type)
            .digest(Sha256Digest::from_str(digest.hex())?)
            .size(bytes.len() as u64)
            .build()?;
        self.blobs.insert(digest.hex().to_owned(), bytes);
        Ok(descriptor)
    }

    /// Adds a value as JSON.
    pub(crate) fn add_json(&mut self, media_type: MediaType, value: &impl Serialize) -> anyhow::Result<Descriptor> {
        self.add_blob(media_type, json(value)?)
    }

    /// Adds a layer. The same files give the same bytes on any machine.
    pub(crate) fn add_layer(&mut self, entries: &[LayerEntry]) -> anyhow::Result<Layer> {
        let mut archive = tar::Builder::new(Vec::new());
        for LayerEntry { path, mode, content } in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(content.map_or(0, |content| content.len() as u64));
            header.set_entry_type(if content.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory });
            archive.append_data(&mut header, path, content.unwrap_or_default())?;
        }
        let tar = archive.into_inner()?;
        let diff_id = Digest::of_bytes(&tar).to_string();
        let mut packed = gzip(&tar, Compression::best())?;
        if is_too_dense(tar.len() as u64, packed.len() as u64) {
            packed = gzip(&tar, Compression::none())?;
        }
        Ok(Layer { descriptor: self.add_blob(MediaType::ImageLayerGzip, packed)?, diff_id })
    }

    /// Adds an entry to the index.
    pub(crate) fn add_entry(&mut self, mut descriptor: Descriptor, annotations: &[(&str, &str)]) {
        let mut all: HashMap<String, String> = descriptor.annotations().clone().unwrap_or_default();
        all.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        descriptor.set_annotations(Some(all));
        self.entries.push(descriptor);
    }

    /// The entries of the index, the image first.
    pub(crate) fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// Removes everything except the first entry, the image, and its blobs.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub(crate) fn keep_image_alone(&mut self) -> anyhow::Result<()> {
        self.entries.truncate(1);
        let mut named = vec![self.image()?.digest().digest().to_owned()];
        for (descriptor, manifest) in self.manifests()? {
            let parts = std::iter::once(manifest.config()).chain(manifest.layers());
            named.extend(parts.chain([&descriptor]).map(|part| part.digest().digest().to_owned()));
        }
        self.blobs.retain(|name, _| named.contains(name));
        Ok(())
    }

    /// The image: a manifest, or an index of manifests.
    pub(crate) fn image(&self) -> anyhow::Result<&Descriptor> {
        self.entries.first().context("its index names no image")
    }

    /// The content of a blob.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<&[u8]> {
        let digest = descriptor.digest();
        let bytes = self.blobs.get(digest.digest()).with_context(|| format!("blob {digest} is missing"))?;
        let (actual, stated) = (bytes.len() as u64, descriptor.size());
        ensure!(actual == stated, "blob {digest} has {actual} bytes, but its descriptor states {stated}");
        Ok(bytes)
    }

    /// The content of a blob that is a document, not a layer.
    ///
    /// # Errors
    /// If it is missing or too large.
    pub(crate) fn document(&self, descriptor: &Descriptor) -> anyhow::Result<&[u8]> {
        let bytes = self.blob(descriptor)?;
        let length = bytes.len() as u64;
        ensure!(
            length <= MAX_DOCUMENT_BYTES,
            "blob {} has {length} bytes; the limit is {MAX_DOCUMENT_BYTES}",
            descriptor.digest()
        );
        Ok(bytes)
    }

    /// The manifests of the image, one per platform.
    pub(crate) fn manifests(&self) -> anyhow::Result<Vec<(Descriptor, ImageManifest)>> {
        let image = self.image()?;
        let descriptors = match image.media_type() {
            MediaType::ImageIndex => ImageIndex::from_reader(self.document(image)?)?.manifests().clone(),
            MediaType::ImageManifest => vec![image.clone()],
            other => bail!("its index names something of type {other}"),
        };
        descriptors
            .into_iter()
            .map(|descriptor| {
                let manifest = ImageManifest::from_reader(self.document(&descriptor)?);
                Ok((descriptor.clone(), manifest.with_context(|| format!("manifest {}", descriptor.digest()))?))
            })
            .collect()
    }

    /// Reads a layout. Every blob must match the digest in its name.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        ensure!(is_layout(path), "{}: is not an OCI image layout (it has no {VERSION_FILE})", path.display());
        let index = path.join(INDEX_FILE);
        let parsed = ImageIndex::from_reader(read_bounded(&index, MAX_DOCUMENT_BYTES)?.as_slice())
            .with_context(|| format!("{}: cannot read it", index.display()))?;
        let mut layout = Self { blobs: BTreeMap::new(), entries: parsed.manifests().clone() };
        let folder = path.join("blobs/sha256");
        let listed = fs::read_dir(&folder).with_context(|| format!("{}: cannot read it", folder.display()))?;
        let mut total = 0;
        for entry in listed {
            let file = entry?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ensure!(layout.blobs.len() < MAX_BLOBS, "{}: has more than {MAX_BLOBS} blobs", path.display());
            // the digest is computed before the content is kept: a sparse file takes no memory
            let length = fs::symlink_metadata(&file).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
            let length = length.with_context(|| format!("{}: is not a file", file.display()))?;
            total += length;
            ensure!(total <= MAX_LAYOUT_BYTES, "{}: has blobs of more than {MAX_LAYOUT_BYTES} bytes", path.display());
            let digest = Digest::of_file(&file)?.0;
            ensure!(digest.hex() == name, "{}: has another content (its digest is {digest})", file.display());
            layout.blobs.insert(name, read_bounded(&file, length)?);
        }
        Ok(layout)
    }

    /// Writes the layout completely or not at all. An existing layout is replaced; anything else is kept.
    ///
    /// # Errors
    /// If it cannot be written, or something else exists at the path.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let at = resolve_entry(path);
        let taken =
            fs::symlink_metadata(&at).is_ok() && fs::read_dir(&at).map_or(true, |mut entries| entries.next().is_some());
        ensure!(
            !taken || is_layout(&at),
            "--output {}: exists and is not an image layout; name an empty or a new folder",
            path.display()
        );
        let parent = at.parent().context("--output: must be inside a folder")?;
        let io = |error: io::Error| anyhow::anyhow!("{}: cannot write it: {error}", path.display());
        fs::create_dir_all(parent).map_err(io)?;
        let temporary = TemporaryFolder::create(parent, TEMPORARY_PREFIX)?;
        let inside = temporary.path().join("image");
        let blobs = inside.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(io)?;
        let put = |file: PathBuf, bytes: &[u8]| fs::write(file, bytes).map_err(io);
        for (name, bytes) in &self.blobs {
            put(blobs.join(name), bytes)?;
        }
        put(inside.join(VERSION_FILE), LAYOUT_VERSION.as_bytes())?;
        put(inside.join(INDEX_FILE), &json(&index_of(self.entries.clone())?)?)?;
        Ok(temporary.replace(&inside, &at)?)
    }
}

/// Removes the temporary folders that killed programs left beside the layout at `path`.
pub(crate) fn clear_abandoned(path: &Path) {
    if let Some(parent) = resolve_entry(path).parent() {
        clear_abandoned_folders(parent, TEMPORARY_PREFIX);
    }
}

/// Compresses without time, name or system, so that the output is reproducible.
fn gzip(bytes: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), level);
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// Whether an image layout exists at the path.
pub(crate) fn is_layout(path: &Path) -> bool {
    path.join(VERSION_FILE).is_file()
}

/// An index of manifests.
pub(crate) fn index_of(manifests: Vec<Descriptor>) -> anyhow::Result<ImageIndex> {
    let index = ImageIndexBuilder::default().schema_version(SCHEMA_VERSION).media_type(MediaType::ImageIndex);
    Ok(index.manifests(manifests).build()?)
}

/// JSON with sorted keys, because labels and annotations are in maps with a random order.
fn json(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}
