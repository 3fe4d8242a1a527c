//! Files that are written completely or not at all.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::{
    bounded::open_regular,
    digest::DigestWriter,
    error::ArtifactError,
    file_entry::FileEntry,
    temporary::{is_own, is_random},
};

/// File name extension of temporary files.
const SUFFIX: &str = ".tmp";
/// Largest number of attempts to create a temporary file while other programs remove abandoned ones.
const MAX_ATTEMPTS: usize = 10;

/// A file with a temporary name in the folder of its destination, until [`commit`](Self::commit) renames it. If it is dropped before, it is
/// removed and the destination stays as it was.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    destination: PathBuf,
    /// Digest of the written bytes, so that they are not read again.
    digest: DigestWriter,
}

impl AtomicFile {
    /// Creates a temporary file beside `destination`, with its folders. Removes temporary files that killed runs left there.
    ///
    /// # Errors
    /// If the folder cannot be created or written.
    pub fn create(destination: &Path) -> Result<Self, ArtifactError> {
        let folder = folder_of(destination);
        fs::create_dir_all(&folder).map_err(ArtifactError::io(&folder, "create the folder"))?;
        let prefix = prefix_of(&destination.file_name().unwrap_or_default().to_string_lossy());
        remove_abandoned(&folder, &prefix);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        for _ in 0..MAX_ATTEMPTS {
            let temporary = builder.tempfile_in(&folder).map_err(ArtifactError::io(destination, "write it"))?;
            // The lock is held until this program ends; other runs see that the file is in use.
            let held = !matches!(temporary.as_file().try_lock_shared(), Err(TryLockError::WouldBlock));
            if held && temporary.path().exists() {
                return Ok(Self { temporary, destination: destination.to_owned(), digest: DigestWriter::default() });
            }
            // else another run removed it as abandoned before it was locked
        }
        Err(ArtifactError::io(destination, "write it")(io::Error::other("other programs remove it repeatedly")))
    }

    /// The path of the file after `commit`.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Commits to another destination in the same folder.
    ///
    /// # Errors
    /// If the disk is full or `destination` cannot be replaced; it is then as it was.
    pub fn commit_as(self, destination: &Path) -> Result<FileEntry, ArtifactError> {
        Self { destination: destination.to_owned(), ..self }.commit()
    }

    /// The number of bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.digest.length()
    }

    /// Syncs and renames the file; returns its digest and size.
    ///
    /// # Errors
    /// If the disk is full or the destination cannot be replaced; the destination is then as it was.
    pub fn commit(self) -> Result<FileEntry, ArtifactError> {
        let Self { temporary, destination, digest } = self;
        let write_error = || ArtifactError::io(&destination, "write it");
        temporary.as_file().sync_all().map_err(write_error())?;
        let (digest, bytes) = digest.finish();
        temporary.persist(&destination).map_err(|error| write_error()(error.error))?;
        if let Ok(folder) = File::open(folder_of(&destination)) {
            let _ = folder.sync_all();
        }
        Ok(FileEntry { path: destination, digest, bytes })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.temporary.as_file_mut().write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.as_file_mut().flush()
    }
}

/// Writes `bytes` to `path` completely or not at all.
///
/// # Errors
/// If the folder or the file cannot be written; an existing file is then unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<FileEntry, ArtifactError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(ArtifactError::io(path, "write it"))?;
    file.commit()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn prefix_of(name: &str) -> String {
    format!(".{name}.")
}

/// True for prefix, random letters and suffix, but not for other names with this prefix.
fn is_temporary(name: &str, prefix: &str) -> bool {
    let random = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| !random.contains('.'))
}

/// True if `name` is that of a temporary file for `destination`; such files are removed unless a program holds them.
pub(crate) fn is_temporary_name(name: &str, destination: &str) -> bool {
    is_temporary(name, &prefix_of(destination))
}

/// Removes temporary files of the same destination that no running program holds.
fn remove_abandoned(folder: &Path, prefix: &str) {
    remove_abandoned_if(folder, &|name| is_temporary(name, prefix));
}

/// Removes the temporary files of killed programs in `folder`, for the destinations that `is_destination` accepts.
pub fn clear_abandoned_files(folder: &Path, is_destination: impl Fn(&str) -> bool) {
    remove_abandoned_if(folder, &|name| {
        let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(SUFFIX));
        let parts = inner.and_then(|name| name.rsplit_once('.'));
        parts.is_some_and(|(destination, random)| is_random(random) && is_destination(destination))
    });
}

/// Removes the temporary files of killed programs in `folder` and its subfolders. Links are not followed.
pub fn clear_abandoned_below(folder: &Path) {
    clear_abandoned_files(folder, |_| true);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|metadata| metadata.is_dir()) {
            clear_abandoned_below(&entry.path());
        }
    }
}

/// Removes the files with temporary names that no running program holds.
fn remove_abandoned_if(folder: &Path, is_temporary: &dyn Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_temporary(&name)
            // not a link or pipe, and owned by this user
            && entry.metadata().is_ok_and(|metadata| metadata.is_file() && is_own(&metadata))
            && let Ok(file) = open_regular(&entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/a.txt");
        write_atomically(&path, b"old").unwrap();
        let mut new = AtomicFile::create(&path).unwrap();
        new.write_all(b"half").unwrap();
        drop(new);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn only_abandoned_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let abandoned = folder.path().join(".a.txt.k1ll3d.tmp");
        fs::write(&abandoned, "half").unwrap();
        let neighbours = [".a.txt.bak", ".a.txt.report.json.k1ll3d.tmp"].map(|name| folder.path().join(name));
        neighbours.iter().for_each(|path| fs::write(path, "mine").unwrap());
        let living = AtomicFile::create(&path).unwrap();
        assert!(!abandoned.exists());
        assert!(neighbours.iter().all(|path| path.exists()));
        let second = AtomicFile::create(&path).unwrap();
        assert!(living.temporary.path().exists());
        // several destinations at once
        let left = [".b.csv.k1ll3d.tmp", ".c.csv.k1ll3d.tmp", ".b.csv.k1ll3d.old"].map(|name| folder.path().join(name));
        left.iter().for_each(|path| fs::write(path, "half").unwrap());
        clear_abandoned_files(folder.path(), |name| matches!(name, "a.txt" | "b.csv"));
        assert!(living.temporary.path().exists() && second.temporary.path().exists());
        assert_eq!(left.each_ref().map(|path| path.exists()), [false, true, true]);
        let deeper = folder.path().join("deep/er/.b.csv.k1ll3d.tmp");
        fs::create_dir_all(deeper.parent().unwrap()).unwrap();
        fs::write(&deeper, "half").unwrap();
        clear_abandoned_below(folder.path());
        assert!(living.temporary.path().exists() && !deeper.exists());
        assert_eq!(left.map(|path| path.exists()), [false, false, true]);
        drop((living, second));
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_links_are_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let [pipe, link] = [".a.txt.p1p300.tmp", ".a.txt.l1nk00.tmp"].map(|name| folder.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::write(folder.path().join("precious"), "x").unwrap();
        std::os::unix::fs::symlink("precious", &link).unwrap();
        write_atomically(&path, b"x").unwrap();
        assert!(fs::symlink_metadata(&pipe).is_ok() && fs::symlink_metadata(&link).is_ok());
    }

    #[test]
    fn the_error_names_a_folder_that_cannot_be_created() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write_atomically(&file.join("a.txt"), b"").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: cannot create the folder: ", file.display())), "{error}");
    }
}
