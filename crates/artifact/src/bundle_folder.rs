//! A bundle as a folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Seek, Write},
    path::Path,
};

use crate::{
    bounded::{open_regular, read_open},
    bundle_limits::{BUNDLE_MANIFEST, BundleFiles, bundle_file_limit, check_size, check_sizes},
    bundle_manifest::{BundleManifest, Inventory},
    digest::Digest,
    error::ArtifactError,
    packed::ensure,
    temporary::TemporaryFolder,
};

/// More entries than the folder of a bundle has.
const MAX_ENTRIES: usize = 40;
/// How the folder that a bundle is written to at first is called.
pub(crate) const PREFIX: &str = ".bundle.";

/// Writes the folder: whole or not at all. What stood there under the same name is replaced.
///
/// # Errors
/// If it cannot be written, or would be larger than what is read.
pub fn write_bundle_folder(path: &Path, files: &BundleFiles) -> Result<(), ArtifactError> {
    check_sizes(files).map_err(|reason| ArtifactError::NotABundle { path: path.to_owned(), reason })?;
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(ArtifactError::io(parent, "make the folder"))?;
    let temporary = TemporaryFolder::create(parent, PREFIX)?;
    let inside = temporary.path().join("bundle");
    fs::create_dir(&inside).map_err(ArtifactError::io(&inside, "make the folder"))?;
    for (name, bytes) in files {
        let path = inside.join(name);
        let written = File::create(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(ArtifactError::io(&path, "write it"))?;
    }
    temporary.put(&inside, path)
}

/// Reads the files of a folder. First they are compared with what the manifest lists, and only then kept.
///
/// # Errors
/// Says what is not as in a bundle.
pub(crate) fn read_folder(path: &Path) -> io::Result<BundleFiles> {
    let (mut found, mut open) = (Inventory::new(), BTreeMap::new());
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure(found.len() < MAX_ENTRIES, || format!("it has more than {MAX_ENTRIES} files"))?;
        ensure(entry.file_type()?.is_file(), || format!("{name} is not a file"))?;
        if bundle_file_limit(&name).is_none() {
            found.insert(name, None);
            continue;
        }
        let file = open_regular(&entry.path())?;
        check_size(&name, file.metadata()?.len(), &mut total).map_err(io::Error::other)?;
        open.insert(name, file);
    }
    let manifest = open.get(BUNDLE_MANIFEST).map(|file| read_again(file, BUNDLE_MANIFEST)).transpose()?;
    for (name, file) in &mut open {
        file.rewind()?;
        found.insert(name.clone(), Some(Digest::of_reader(file)?));
    }
    BundleManifest::read(manifest.as_deref(), &found).map_err(io::Error::other)?;
    open.into_iter().map(|(name, file)| Ok((name.clone(), read_again(&file, &name)?))).collect()
}

fn read_again(mut file: &File, name: &str) -> io::Result<Vec<u8>> {
    file.rewind()?;
    read_open(file, bundle_file_limit(name).unwrap_or(0))
}
