//! An OCI image layout: blobs by their digests, and an index that names the images among them (OCI image specification 1.1).

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

/// What the layout's version is written in.
const VERSION_FILE: &str = "oci-layout";
const VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
/// How the folder that a layout is written to at first is called.
const PREFIX: &str = ".image.";
/// Under what name an image is found in a layout.
pub(crate) const NAME: &str = "org.opencontainers.image.ref.name";
/// What cosign takes an entry of a layout for.
pub(crate) const KIND: &str = "kind";
/// Bytes of all blobs together: two servers, a bundle and what is signed.
const MAX_BYTES: u64 = 2 << 30;
/// Bytes of an index, a manifest, a configuration or a signature; registries take no more of a manifest.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// More blobs than a layout of ours has.
const MAX_BLOBS: usize = 1000;

/// A layout in memory, to be written whole.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    entries: Vec<Descriptor>,
}

/// A file of a layer, or a folder if it has no content.
pub(crate) struct Entry<'a> {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) content: Option<&'a [u8]>,
}

/// A layer: what names it in the manifest, and the digest of its tar.
pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: String,
}

impl Layout {
    /// Adds a blob; returns what names it.
    pub(crate) fn put(&mut self, media_type: MediaType, bytes: Vec<u8>) -> anyhow::Result<Descriptor> {
        let digest = Digest::of_bytes(&bytes);
        let descriptor = DescriptorBuilder::default()
            .media_type(media_type)
            .digest(Sha256Digest::from_str(digest.hex())?)
            .size(bytes.len() as u64)
            .build()?;
        self.blobs.insert(digest.hex().to_owned(), bytes);
        Ok(descriptor)
    }

    /// Adds something that is written as JSON.
    pub(crate) fn put_json(&mut self, media_type: MediaType, value: &impl Serialize) -> anyhow::Result<Descriptor> {
        self.put(media_type, json(value)?)
    }

    /// Adds a layer: the same bytes for the same files, on any machine.
    pub(crate) fn put_layer(&mut self, entries: &[Entry]) -> anyhow::Result<Layer> {
        let mut archive = tar::Builder::new(Vec::new());
        for Entry { path, mode, content } in entries {
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
        Ok(Layer { descriptor: self.put(MediaType::ImageLayerGzip, packed)?, diff_id })
    }

    /// Adds an entry to the index that a reader begins with.
    pub(crate) fn name(&mut self, mut descriptor: Descriptor, annotations: &[(&str, &str)]) {
        let mut all: HashMap<String, String> = descriptor.annotations().clone().unwrap_or_default();
        all.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        descriptor.set_annotations(Some(all));
        self.entries.push(descriptor);
    }

    /// The entries of the index, the image first.
    pub(crate) fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// Leaves the first entry, the image, and what it names.
    ///
    /// # Errors
    /// If there is no image that can be read.
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

    /// The image: a manifest, or an index of several.
    pub(crate) fn image(&self) -> anyhow::Result<&Descriptor> {
        self.entries.first().context("its index names no image")
    }

    /// The content of a blob.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<&[u8]> {
        let digest = descriptor.digest();
        let bytes = self.blobs.get(digest.digest()).with_context(|| format!("blob {digest} is missing"))?;
        let (found, stated) = (bytes.len() as u64, descriptor.size());
        ensure!(found == stated, "blob {digest} has {found} bytes, what names it says {stated}");
        Ok(bytes)
    }

    /// The content of a blob that is a document and no layer.
    ///
    /// # Errors
    /// If it is missing, or larger than documents are.
    pub(crate) fn document(&self, descriptor: &Descriptor) -> anyhow::Result<&[u8]> {
        let bytes = self.blob(descriptor)?;
        let found = bytes.len() as u64;
        ensure!(
            found <= MAX_DOCUMENT_BYTES,
            "blob {} has {found} bytes; at most {MAX_DOCUMENT_BYTES} are read of it",
            descriptor.digest()
        );
        Ok(bytes)
    }

    /// The manifests of the image, one a platform.
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

    /// Reads a layout; every blob must be what its name says.
    ///
    /// # Errors
    /// Names the file at fault.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        ensure!(is_layout(path), "{}: is not an OCI image layout (it has no {VERSION_FILE})", path.display());
        let index = path.join(INDEX_FILE);
        let found = ImageIndex::from_reader(read_bounded(&index, MAX_DOCUMENT_BYTES)?.as_slice())
            .with_context(|| format!("{}: cannot be read", index.display()))?;
        let mut layout = Self { blobs: BTreeMap::new(), entries: found.manifests().clone() };
        let folder = path.join("blobs/sha256");
        let listed = fs::read_dir(&folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
        let mut total = 0;
        for entry in listed {
            let file = entry?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ensure!(layout.blobs.len() < MAX_BLOBS, "{}: has more than {MAX_BLOBS} blobs", path.display());
            // it is digested before it is kept: a file of one hole takes no memory
            let length = fs::symlink_metadata(&file).ok().filter(fs::Metadata::is_file).map(|found| found.len());
            let length = length.with_context(|| format!("{}: is not a file", file.display()))?;
            total += length;
            ensure!(total <= MAX_BYTES, "{}: has blobs of more than {MAX_BYTES} bytes", path.display());
            let digest = Digest::of_file(&file)?.0;
            ensure!(digest.hex() == name, "{}: has another content (its digest is {digest})", file.display());
            layout.blobs.insert(name, read_bounded(&file, length)?);
        }
        Ok(layout)
    }

    /// Writes the layout: whole or not at all. A layout that stood there is replaced; anything else is left alone.
    ///
    /// # Errors
    /// If it cannot be written, or something else stands there.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let at = resolve_entry(path);
        let taken =
            fs::symlink_metadata(&at).is_ok() && fs::read_dir(&at).map_or(true, |mut entries| entries.next().is_some());
        ensure!(
            !taken || is_layout(&at),
            "--output {}: something else than an image layout is there; name an empty or a new folder",
            path.display()
        );
        let parent = at.parent().context("--output needs a folder to be in")?;
        let io = |error: io::Error| anyhow::anyhow!("{}: cannot write it: {error}", path.display());
        fs::create_dir_all(parent).map_err(io)?;
        let temporary = TemporaryFolder::create(parent, PREFIX)?;
        let inside = temporary.path().join("image");
        let blobs = inside.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(io)?;
        let put = |file: PathBuf, bytes: &[u8]| fs::write(file, bytes).map_err(io);
        for (name, bytes) in &self.blobs {
            put(blobs.join(name), bytes)?;
        }
        put(inside.join(VERSION_FILE), VERSION.as_bytes())?;
        put(inside.join(INDEX_FILE), &json(&index_of(self.entries.clone())?)?)?;
        Ok(temporary.replace(&inside, &at)?)
    }
}

/// Clears the folders that killed programs left beside the layout at `path`.
pub(crate) fn clear_abandoned(path: &Path) {
    if let Some(parent) = resolve_entry(path).parent() {
        clear_abandoned_folders(parent, PREFIX);
    }
}

/// Compresses: no time, no name, "unknown" system.
fn gzip(bytes: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), level);
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// Whether an image layout is there.
pub(crate) fn is_layout(path: &Path) -> bool {
    path.join(VERSION_FILE).is_file()
}

/// An index of manifests.
pub(crate) fn index_of(manifests: Vec<Descriptor>) -> anyhow::Result<ImageIndex> {
    let index = ImageIndexBuilder::default().schema_version(SCHEMA_VERSION).media_type(MediaType::ImageIndex);
    Ok(index.manifests(manifests).build()?)
}

/// JSON with sorted keys: labels and annotations are kept in maps whose order is another in every run.
fn json(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}
