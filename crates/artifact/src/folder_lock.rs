//! Folders that programs hold while they read or write files which only mean something together.
//!
//! Several may read at a time, one writes alone. A program that holds some folders asks for no others, and takes them in one order, so that
//! two never wait for each other. The system lets go of a folder when its program ends, however it ends.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::{error::ArtifactError, manifest::Manifest, place::inode};

/// Stages that are walked back from a file at most.
const MAX_STAGES: usize = 8;

/// Says that a folder is waited for.
pub type Waiting<'a> = &'a dyn Fn(&Path);

/// Folders that are held until this is dropped or the program ends.
#[derive(Debug)]
#[must_use = "the folders are let go of when this is dropped"]
pub struct FolderLocks {
    _files: Vec<File>,
}

/// Waits until no other program holds one of `folders`, makes them where need be, and holds them: for writing.
///
/// # Errors
/// If a folder cannot be made, opened or locked.
pub fn lock_to_write(folders: &[&Path], waiting: Waiting) -> Result<FolderLocks, ArtifactError> {
    let folders: Vec<PathBuf> = folders.iter().map(|folder| named(folder)).collect();
    for folder in &folders {
        fs::create_dir_all(folder).map_err(ArtifactError::io(folder, "make the folder"))?;
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

/// Waits until no other program writes the file at `path` or what it was made from, and holds their folders for reading. They are the file's
/// own folder and those of the stages before it that the manifests name. A folder that cannot be locked is read without a lock.
pub fn lock_to_read(path: &Path, waiting: Waiting) -> FolderLocks {
    let own = hold(vec![folder_of(path)], waiting);
    let mut folders = Vec::new();
    collect(path, MAX_STAGES, &mut folders);
    drop(own);
    hold(folders, waiting)
}

fn hold(folders: Vec<PathBuf>, waiting: Waiting) -> FolderLocks {
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

/// Adds the folders of the stage that wrote the file, and of those before it.
fn collect(path: &Path, stages: usize, folders: &mut Vec<PathBuf>) {
    folders.push(folder_of(path));
    let Some(manifest) = Manifest::read_beside(path).ok().flatten().filter(|_| stages > 0) else { return };
    folders.extend(manifest.outputs.iter().map(|output| folder_of(&output.path)));
    manifest.inputs.iter().for_each(|input| collect(&input.path, stages - 1, folders));
}

/// Each folder once, in an order that does not depend on how it is spelled.
fn in_order(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let known = |folder: PathBuf| Some((inode(&folder), folder.canonicalize().ok()?));
    let mut known: Vec<_> = folders.into_iter().filter_map(known).collect();
    known.sort();
    known.dedup_by(|a, b| if a.0.is_some() { a.0 == b.0 } else { a.1 == b.1 });
    known.into_iter().map(|(_, folder)| folder).collect()
}

fn folder_of(path: &Path) -> PathBuf {
    named(path.parent().unwrap_or(Path::new("")))
}

fn named(folder: &Path) -> PathBuf {
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
        let (path, silent) = (folder.path().join("a.csv"), |_: &Path| panic!("nothing is to be waited for"));
        let readers = [lock_to_read(&path, &silent), lock_to_read(&path, &silent)];
        let released = AtomicBool::new(false);
        let (sender, waits) = mpsc::channel();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                // the same folder under two names
                let named = [folder.path(), &folder.path().join("../").join(folder.path().file_name().unwrap())];
                let _locks = lock_to_write(&named, &move |waited| sender.send(waited.to_owned()).unwrap()).unwrap();
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
    fn a_folder_is_made_by_who_writes_and_not_by_who_reads() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        drop(lock_to_read(&new.join("model.bin"), &|_| {}));
        assert!(!new.exists());
        drop(lock_to_write(&[&new], &|_| {}).unwrap());
        assert!(new.is_dir());
    }
}
