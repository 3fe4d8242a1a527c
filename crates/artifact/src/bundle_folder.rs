//! Bundles as folders.

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

/// Largest number of files in the folder of a bundle.
const MAX_FILES: usize = 40;
/// Prefix of the temporary folder to which a bundle is written first.
pub(crate) const TEMPORARY_PREFIX: &str = ".bundle.";

/// Writes the folder completely or not at all; an existing folder is replaced.
///
/// # Errors
/// If it cannot be written, or would exceed the limits of reading.
pub fn write_bundle_folder(path: &Path, files: &BundleFiles) -> Result<(), ArtifactError> {
    check_sizes(files).map_err(|reason| ArtifactError::NotABundle { path: path.to_owned(), reason })?;
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(ArtifactError::io(parent, "create the folder"))?;
    let temporary = TemporaryFolder::create(parent, TEMPORARY_PREFIX)?;
    let inside = temporary.path().join("bundle");
    fs::create_dir(&inside).map_err(ArtifactError::io(&inside, "create the folder"))?;
    for (name, bytes) in files {
        let path = inside.join(name);
        let result = File::create(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        result.map_err(ArtifactError::io(&path, "write it"))?;
    }
    temporary.replace(&inside, path)
}

/// Reads the files of a folder. They are compared with the manifest before they are kept.
///
/// # Errors
/// If the folder is not a valid bundle; the message says why.
pub(crate) fn read_folder(path: &Path) -> io::Result<BundleFiles> {
    let (mut inventory, mut open_files) = (Inventory::new(), BTreeMap::new());
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure(inventory.len() < MAX_FILES, || format!("it has more than {MAX_FILES} files"))?;
        ensure(entry.file_type()?.is_file(), || format!("{name} is not a file"))?;
        if bundle_file_limit(&name).is_none() {
            inventory.insert(name, None);
            continue;
        }
        let file = open_regular(&entry.path())?;
        check_size(&name, file.metadata()?.len(), &mut total).map_err(io::Error::other)?;
        open_files.insert(name, file);
    }
    let manifest = open_files.get(BUNDLE_MANIFEST).map(|file| read_again(file, BUNDLE_MANIFEST)).transpose()?;
    for (name, file) in &mut open_files {
        file.rewind()?;
        inventory.insert(name.clone(), Some(Digest::of_reader(file)?));
    }
    BundleManifest::read(manifest.as_deref(), &inventory).map_err(io::Error::other)?;
    open_files.into_iter().map(|(name, file)| Ok((name.clone(), read_again(&file, &name)?))).collect()
}

fn read_again(mut file: &File, name: &str) -> io::Result<Vec<u8>> {
    file.rewind()?;
    read_open(file, bundle_file_limit(name).unwrap_or(0))
}
