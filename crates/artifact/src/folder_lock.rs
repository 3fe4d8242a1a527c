//! Locks on folders for reading or writing files that belong together.
//!
//! Locks for reading are shared, locks for writing are exclusive. A program takes all its locks at once and in a fixed order, so that
//! programs never wait for each other. The operating system releases the locks when a program ends in any way.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::{error::ArtifactError, manifest::Manifest, resolved_path::inode};

/// Largest number of stages in a lineage.
const MAX_STAGES: usize = 8;

/// Called with a folder when another program's lock on it must be awaited.
pub type Waiting<'a> = &'a dyn Fn(&Path);

/// Locks that are held until this is dropped or the program ends.
#[derive(Debug)]
#[must_use = "the locks are released when this is dropped"]
pub struct FolderLocks {
    _files: Vec<File>,
}

/// Creates `folders` where necessary and locks them for writing; waits for other programs.
///
/// # Errors
/// If a folder cannot be created, opened or locked.
pub fn lock_to_write(folders: &[&Path], waiting: Waiting) -> Result<FolderLocks, ArtifactError> {
    let folders: Vec<PathBuf> = folders.iter().map(|folder| or_current_folder(folder)).collect();
    for folder in &folders {
        fs::create_dir_all(folder).map_err(ArtifactError::io(folder, "create the folder"))?;
    }
    let mut files = Vec::new();
    for folder in in_order(folders) {
        let file = File::open(&folder).map_err(ArtifactError::io(&folder, "lock it"))?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                waiting(&folder);
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        locked.map_err(ArtifactError::io(&folder, "lock it"))?;
        files.push(file);
    }
    Ok(FolderLocks { _files: files })
}

/// Locks the folder of the file at `path`, and those of its lineage in the manifests, for reading; waits for programs that write there. A
/// folder that cannot be locked is read without a lock.
pub fn lock_to_read(path: &Path, waiting: Waiting) -> FolderLocks {
    let own = lock_shared_all(vec![folder_of(path)], waiting);
    let mut folders = Vec::new();
    collect_lineage_folders(path, MAX_STAGES, &mut folders);
    drop(own);
    lock_shared_all(folders, waiting)
}

fn lock_shared_all(folders: Vec<PathBuf>, waiting: Waiting) -> FolderLocks {
    let lock = |folder: PathBuf| {
        let file = File::open(&folder).ok()?;
        if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            waiting(&folder);
            let _: io::Result<()> = file.lock_shared();
        }
        Some(file)
    };
    FolderLocks { _files: in_order(folders).into_iter().filter_map(lock).collect() }
}

/// Adds the folders of the stage that wrote the file, and of earlier stages.
fn collect_lineage_folders(path: &Path, stages: usize, folders: &mut Vec<PathBuf>) {
    folders.push(folder_of(path));
    let Some(manifest) = Manifest::read_beside(path).ok().flatten().filter(|_| stages > 0) else { return };
    folders.extend(manifest.outputs.iter().map(|output| folder_of(&output.path)));
    manifest.inputs.iter().for_each(|input| collect_lineage_folders(&input.path, stages - 1, folders));
}

/// The distinct folders, in an order that does not depend on their spelling.
fn in_order(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let resolved = |folder: PathBuf| Some((inode(&folder), folder.canonicalize().ok()?));
    let mut resolved: Vec<_> = folders.into_iter().filter_map(resolved).collect();
    resolved.sort();
    resolved.dedup_by(|a, b| if a.0.is_some() { a.0 == b.0 } else { a.1 == b.1 });
    resolved.into_iter().map(|(_, folder)| folder).collect()
}

fn folder_of(path: &Path) -> PathBuf {
    or_current_folder(path.parent().unwrap_or(Path::new("")))
}

fn or_current_folder(folder: &Path) -> PathBuf {
    if folder == Path::new("") { PathBuf::from(".") } else { folder.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn readers_share_a_folder_and_a_writer_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let (path, silent) = (folder.path().join("a.csv"), |_: &Path| panic!("no wait is expected"));
        let readers = [lock_to_read(&path, &silent), lock_to_read(&path, &silent)];
        let released = AtomicBool::new(false);
        let (sender, waits) = mpsc::channel();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                // the same folder under two names
                let names = [folder.path(), &folder.path().join("../").join(folder.path().file_name().unwrap())];
                let _locks = lock_to_write(&names, &move |waited| sender.send(waited.to_owned()).unwrap()).unwrap();
                assert!(released.load(Ordering::SeqCst));
            });
            let waited = waits.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(waited, folder.path().canonicalize().unwrap());
            released.store(true, Ordering::SeqCst);
            drop(readers);
            writer.join().unwrap();
        });
        let _locks = lock_to_write(&[folder.path()], &silent).unwrap();
    }

    #[test]
    fn only_a_writer_creates_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        drop(lock_to_read(&new.join("model.bin"), &|_| {}));
        assert!(!new.exists());
        drop(lock_to_write(&[&new], &|_| {}).unwrap());
        assert!(new.is_dir());
    }
}
