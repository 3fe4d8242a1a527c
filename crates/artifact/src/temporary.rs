//! Temporary folders that are removed with their program, or by the next one if it was killed.
//!
//! Every user can write to the system's temporary folder, so a name there proves nothing. Only a real folder of this user is removed. Its
//! name must have the form that is created here, and no running program may hold its lock.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::error::ArtifactError;

/// Prefix of folders in the system's temporary folder.
const TEMPORARY_PREFIX: &str = "house-price-predictor.";
/// Number of random letters and digits after the prefix.
const RANDOM_CHARACTERS: usize = 6;
/// Subfolder for a folder that is being replaced, on systems that cannot exchange two folders atomically.
const REPLACED_FOLDER: &str = "replaced";
/// Largest number of attempts to create a folder while other programs remove abandoned ones.
const MAX_ATTEMPTS: usize = 10;

/// A temporary folder, which is removed with its content when dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    /// Lock that is held until the program ends.
    _lock: File,
}

impl TemporaryFolder {
    /// Creates a folder for this user in the system's temporary folder, and removes those of killed programs.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn new() -> Result<Self, ArtifactError> {
        Self::create(&std::env::temp_dir(), TEMPORARY_PREFIX)
    }

    /// Creates a folder in `parent` whose name starts with `prefix`, and removes those of killed programs.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(parent: &Path, prefix: &str) -> Result<Self, ArtifactError> {
        clear_abandoned_folders(parent, prefix);
        let io_error = || ArtifactError::io(parent, "create a temporary folder there");
        let mut last = io::Error::other("other programs remove it repeatedly");
        for _ in 0..MAX_ATTEMPTS {
            let folder = tempfile::Builder::new()
                .prefix(prefix)
                .rand_bytes(RANDOM_CHARACTERS)
                .tempdir_in(parent)
                .map_err(io_error())?;
            // the folder itself is locked, because a file in it could be removed before the rest
            match File::open(folder.path()) {
                // without locks in a file system, nothing is removed either
                Ok(lock) if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) && folder.path().exists() => {
                    return Ok(Self { folder, _lock: lock });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
                Err(error) => return Err(io_error()(error)),
            }
        }
        Err(io_error()(last))
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves `inside` from this folder to `destination` on the same disk. An existing destination is removed with this folder.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn replace(&self, inside: &Path, destination: &Path) -> Result<(), ArtifactError> {
        if fs::rename(inside, destination).is_ok() || exchange(inside, destination).is_ok() {
            return Ok(());
        }
        let io_error = || ArtifactError::io(destination, "replace it");
        if fs::symlink_metadata(destination).is_ok() {
            let replaced = self.path().join(REPLACED_FOLDER);
            fs::create_dir(&replaced).map_err(io_error())?;
            fs::rename(destination, replaced.join(destination.file_name().unwrap_or_default())).map_err(io_error())?;
        }
        fs::rename(inside, destination).map_err(io_error())
    }
}

/// Exchanges two files or folders atomically.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes the folders of killed programs in the system's temporary folder.
pub fn clear_temporary_folders() {
    clear_abandoned_folders(&std::env::temp_dir(), TEMPORARY_PREFIX);
}

/// Removes the folders with `prefix` that killed programs left in `parent`, as far as possible.
pub fn clear_abandoned_folders(parent: &Path, prefix: &str) {
    if !fs::metadata(parent).is_ok_and(|parent| names_are_protected(&parent)) {
        return;
    }
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix(prefix)).is_some_and(is_random) {
            let _ = clear_folder(&entry.path(), parent);
        }
    }
}

/// True if a name ends like those that are created here.
pub(crate) fn is_random(end: &str) -> bool {
    end.len() == RANDOM_CHARACTERS && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn clear_folder(path: &Path, parent: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() || !is_own(&metadata) {
        return Ok(());
    }
    let lock = File::open(path)?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    restore(path, parent);
    fs::remove_dir_all(path)
}

/// Moves a folder back that was being replaced, if its destination is free.
fn restore(path: &Path, parent: &Path) {
    for entry in fs::read_dir(path.join(REPLACED_FOLDER)).into_iter().flatten().flatten() {
        let home: PathBuf = parent.join(entry.file_name());
        if fs::symlink_metadata(&home).is_err() {
            let _ = fs::rename(entry.path(), home);
        }
    }
}

/// True if the file belongs to the user of this program.
#[cfg(unix)]
pub(crate) fn is_own(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(metadata) == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn is_own(_: &Metadata) -> bool {
    true
}

/// True if only owners can replace entries of a folder.
#[cfg(unix)]
fn names_are_protected(folder: &Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    const WRITTEN_BY_ALL: u32 = 0o002;
    let mode = std::os::unix::fs::MetadataExt::mode(folder);
    mode & WRITTEN_BY_ALL == 0 || mode & STICKY != 0
}

#[cfg(not(unix))]
fn names_are_protected(_: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Creates a folder as a killed program leaves it.
    fn abandoned(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir_all(path.join("bundle")).unwrap();
        path
    }

    #[test]
    fn only_abandoned_folders_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let living = TemporaryFolder::create(parent.path(), ".bundle.").unwrap();
        abandoned(parent.path(), ".bundle.k1ll3d");
        fs::create_dir(parent.path().join(".bundle.3mpty0")).unwrap();
        // names of another form
        for name in [".bundle.backup1", ".bundle.a.b.c.", "bundle.k1ll3d", ".image.k1ll3d"] {
            abandoned(parent.path(), name);
        }
        let second = TemporaryFolder::create(parent.path(), ".bundle.").unwrap();
        let name = |folder: &TemporaryFolder| folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let kept = [".bundle.a.b.c.", ".bundle.backup1", ".image.k1ll3d", "bundle.k1ll3d"].map(String::from);
        let mut expected: Vec<String> = kept.into_iter().chain([name(&living), name(&second)]).collect();
        expected.sort();
        assert_eq!(names(parent.path()), expected);
        let paths = [living.path().to_owned(), second.path().to_owned()];
        drop((living, second));
        assert!(paths.iter().all(|path| !path.exists()));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_unprotected_folders_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let parent = tempfile::tempdir().unwrap();
        let precious = abandoned(parent.path(), "precious");
        symlink(&precious, parent.path().join(".bundle.l1nked")).unwrap();
        // opening this pipe would wait
        let trap = parent.path().join(".bundle.tr4p00");
        assert!(std::process::Command::new("mkfifo").arg(&trap).status().unwrap().success());
        abandoned(parent.path(), ".bundle.k1ll3d");
        let mode = |mode| fs::set_permissions(parent.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        clear_abandoned_folders(parent.path(), ".bundle.");
        assert!(parent.path().join(".bundle.k1ll3d").exists(), "any user could have created it");
        mode(0o1777);
        clear_abandoned_folders(parent.path(), ".bundle.");
        assert!(!parent.path().join(".bundle.k1ll3d").exists());
        assert!(precious.join("bundle").exists() && trap.exists());
    }

    #[test]
    fn an_interrupted_replacement_is_undone() {
        let parent = tempfile::tempdir().unwrap();
        let left = abandoned(parent.path(), ".image.k1ll3d");
        fs::create_dir_all(left.join("replaced/image/blobs")).unwrap();
        clear_abandoned_folders(parent.path(), ".image.");
        assert!(parent.path().join("image/blobs").exists() && !left.exists());
        // and an existing destination stays
        let left = abandoned(parent.path(), ".image.k1ll3d");
        fs::create_dir_all(left.join("replaced/image/older")).unwrap();
        clear_abandoned_folders(parent.path(), ".image.");
        assert_eq!(names(&parent.path().join("image")), ["blobs"]);
    }

    #[test]
    fn a_folder_replaces_another() {
        let parent = tempfile::tempdir().unwrap();
        let at = parent.path().join("image");
        for name in ["first", "second"] {
            let temporary = TemporaryFolder::create(parent.path(), ".image.").unwrap();
            let inside = temporary.path().join("inside");
            fs::create_dir_all(inside.join(name)).unwrap();
            temporary.replace(&inside, &at).unwrap();
            drop(temporary);
            assert_eq!(names(&at), [name]);
        }
        assert_eq!(names(parent.path()), ["image"]);
    }
}
