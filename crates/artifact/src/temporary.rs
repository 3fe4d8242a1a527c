//! Folders that vanish with their program; if it was killed, the next one clears them.
//!
//! The folder of the system for temporary files can be written by everyone: a name there proves nothing. Only a folder of this user is cleared,
//! and no link. Its name must have the form that is made here, and no living program may have locked it.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::error::ArtifactError;

/// How folders among the system's temporary files are called.
const PREFIX: &str = "house-price-predictor.";
/// Letters and digits behind the prefix.
const RANDOM: usize = 6;
/// Where something waits that is being replaced, on systems that cannot exchange two folders at once.
const REPLACED: &str = "replaced";
/// Attempts to make a folder beside programs that clear.
const ATTEMPTS: usize = 10;

/// A temporary folder. Dropped, it vanishes with all that is in it.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    /// Held while this program lives.
    _lock: File,
}

impl TemporaryFolder {
    /// Makes a folder for this user alone among the system's temporary files, and clears those of killed programs there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> Result<Self, ArtifactError> {
        Self::create(&std::env::temp_dir(), PREFIX)
    }

    /// Makes a folder in `parent` whose name begins with `prefix`, and clears those of killed programs there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(parent: &Path, prefix: &str) -> Result<Self, ArtifactError> {
        clear_abandoned_folders(parent, prefix);
        let fault = || ArtifactError::io(parent, "make a temporary folder there");
        let mut last = io::Error::other("other programs clear it again and again");
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix(prefix).rand_bytes(RANDOM).tempdir_in(parent).map_err(fault())?;
            // the folder itself is locked: a file in it might be removed before the rest
            match File::open(folder.path()) {
                // where a file system has no locks, nothing is cleared either
                Ok(lock) if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) && folder.path().exists() => {
                    return Ok(Self { folder, _lock: lock });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
                Err(error) => return Err(fault()(error)),
            }
        }
        Err(fault()(last))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves `inside`, which is in this folder, to `destination` on the same disk, in the place of what stood there, which vanishes with
    /// this folder.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn put(&self, inside: &Path, destination: &Path) -> Result<(), ArtifactError> {
        if fs::rename(inside, destination).is_ok() || exchange(inside, destination).is_ok() {
            return Ok(());
        }
        let fault = || ArtifactError::io(destination, "replace it");
        if fs::symlink_metadata(destination).is_ok() {
            let replaced = self.path().join(REPLACED);
            fs::create_dir(&replaced).map_err(fault())?;
            fs::rename(destination, replaced.join(destination.file_name().unwrap_or_default())).map_err(fault())?;
        }
        fs::rename(inside, destination).map_err(fault())
    }
}

/// Puts two files or folders in each other's place at once.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Clears the folders that killed programs left among the system's temporary files.
pub fn clear_temporary_folders() {
    clear_abandoned_folders(&std::env::temp_dir(), PREFIX);
}

/// Clears the folders in `parent` that killed programs made there with `prefix`. What cannot be cleared stays.
pub fn clear_abandoned_folders(parent: &Path, prefix: &str) {
    if !fs::metadata(parent).is_ok_and(|parent| names_are_kept(&parent)) {
        return;
    }
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_prefix(prefix)).is_some_and(is_random) {
            let _ = clear_folder(&entry.path(), parent);
        }
    }
}

/// Whether a name ends as those that are made here.
pub(crate) fn is_random(end: &str) -> bool {
    end.len() == RANDOM && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn clear_folder(path: &Path, parent: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || !is_own(&found) {
        return Ok(());
    }
    let lock = File::open(path)?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    restore(path, parent);
    fs::remove_dir_all(path)
}

/// Puts back what was about to be replaced and has nothing in its place.
fn restore(path: &Path, parent: &Path) {
    for entry in fs::read_dir(path.join(REPLACED)).into_iter().flatten().flatten() {
        let home: PathBuf = parent.join(entry.file_name());
        if fs::symlink_metadata(&home).is_err() {
            let _ = fs::rename(entry.path(), home);
        }
    }
}

/// Whether something is of the user who runs this program.
#[cfg(unix)]
pub(crate) fn is_own(found: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(found) == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn is_own(_: &Metadata) -> bool {
    true
}

/// Whether nobody but its owner can put something else in the place of what is in a folder.
#[cfg(unix)]
fn names_are_kept(folder: &Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    const WRITTEN_BY_ALL: u32 = 0o002;
    let mode = std::os::unix::fs::MetadataExt::mode(folder);
    mode & WRITTEN_BY_ALL == 0 || mode & STICKY != 0
}

#[cfg(not(unix))]
fn names_are_kept(_: &Metadata) -> bool {
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

    /// A folder as a killed program leaves it.
    fn abandoned(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir_all(path.join("bundle")).unwrap();
        path
    }

    #[test]
    fn what_killed_programs_left_is_cleared_and_what_living_ones_hold_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = TemporaryFolder::create(parent.path(), ".bundle.").unwrap();
        abandoned(parent.path(), ".bundle.k1ll3d");
        fs::create_dir(parent.path().join(".bundle.3mpty0")).unwrap();
        // names that are not made here
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
    fn links_are_not_followed_and_open_folders_not_cleared() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let parent = tempfile::tempdir().unwrap();
        let precious = abandoned(parent.path(), "precious");
        symlink(&precious, parent.path().join(".bundle.l1nked")).unwrap();
        // a pipe that would be waited for
        let trap = parent.path().join(".bundle.tr4p00");
        assert!(std::process::Command::new("mkfifo").arg(&trap).status().unwrap().success());
        abandoned(parent.path(), ".bundle.k1ll3d");
        let mode = |mode| fs::set_permissions(parent.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        clear_abandoned_folders(parent.path(), ".bundle.");
        assert!(parent.path().join(".bundle.k1ll3d").exists(), "whoever writes there could have put it there");
        mode(0o1777);
        clear_abandoned_folders(parent.path(), ".bundle.");
        assert!(!parent.path().join(".bundle.k1ll3d").exists());
        assert!(precious.join("bundle").exists() && trap.exists());
    }

    #[test]
    fn what_was_being_replaced_comes_back() {
        let parent = tempfile::tempdir().unwrap();
        let left = abandoned(parent.path(), ".image.k1ll3d");
        fs::create_dir_all(left.join("replaced/image/blobs")).unwrap();
        clear_abandoned_folders(parent.path(), ".image.");
        assert!(parent.path().join("image/blobs").exists() && !left.exists());
        // and what is in its place stays
        let left = abandoned(parent.path(), ".image.k1ll3d");
        fs::create_dir_all(left.join("replaced/image/older")).unwrap();
        clear_abandoned_folders(parent.path(), ".image.");
        assert_eq!(names(&parent.path().join("image")), ["blobs"]);
    }

    #[test]
    fn one_folder_takes_the_place_of_another() {
        let parent = tempfile::tempdir().unwrap();
        let at = parent.path().join("image");
        for name in ["first", "second"] {
            let temporary = TemporaryFolder::create(parent.path(), ".image.").unwrap();
            let inside = temporary.path().join("inside");
            fs::create_dir_all(inside.join(name)).unwrap();
            temporary.put(&inside, &at).unwrap();
            drop(temporary);
            assert_eq!(names(&at), [name]);
        }
        assert_eq!(names(parent.path()), ["image"]);
    }
}
