//! Paths with links resolved, to compare files.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::atomic_file::is_temporary_name;

/// Largest number of links that are followed, as on Linux.
const MAX_LINKS: usize = 40;
/// The folder of devices; a file written there would replace a device.
const DEVICES: &str = "/dev";
/// A folder below it with ordinary files.
const SHARED_MEMORY: &str = "/dev/shm";

/// The folder entry and the target of a path.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedPath {
    /// The path of the name in its folder, with links of the folder resolved: a rename replaces this entry.
    entry: PathBuf,
    /// The path with all links resolved: the file that is read.
    pub(crate) target: PathBuf,
    /// Device and inode of the target.
    inode: Option<(u64, u64)>,
    pub(crate) is_folder: bool,
}

/// The path of a name in its folder, without links, `.` and `..`; a link with that name is not followed. Folders may be missing.
pub fn resolve_entry(path: &Path) -> PathBuf {
    ResolvedPath::new(path).entry
}

impl ResolvedPath {
    pub(crate) fn new(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let target = resolve(&absolute);
        let entry = match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => resolve(parent).join(name),
            _ => target.clone(),
        };
        Self { inode: inode(&target), is_folder: target.is_dir(), entry, target }
    }

    /// True if both are the same file: a rename or write at one changes what is read at the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.has_name_of(other) || self.has_inode_of(other)
    }

    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        [&self.entry, &self.target].iter().any(|name| [&other.entry, &other.target].contains(name))
    }

    pub(crate) fn has_inode_of(&self, other: &Self) -> bool {
        self.inode.is_some() && self.inode == other.inode
    }

    /// True if this path is below the other.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        let is_other = |folder: &Path| {
            folder == other.target || folder == other.entry || (other.inode.is_some() && inode(folder) == other.inode)
        };
        [&self.entry, &self.target].into_iter().any(|name| name.ancestors().skip(1).any(is_other))
    }

    /// True if this has the name of a temporary file of the other, which writing the other would remove.
    pub(crate) fn is_temporary_of(&self, other: &Self) -> bool {
        let of = |entry: &Path| Some((entry.parent()?.to_owned(), entry.file_name()?.to_string_lossy().into_owned()));
        let (Some((folder, name)), Some((other_folder, other_name))) = (of(&self.entry), of(&other.entry)) else {
            return false;
        };
        folder == other_folder && is_temporary_name(&name, &other_name)
    }

    pub(crate) fn is_among_devices(&self) -> bool {
        self.entry.starts_with(DEVICES) && !self.entry.starts_with(SHARED_MEMORY)
    }
}

/// Resolves links, `.` and `..` of an absolute path as the system does. Missing names are kept.
fn resolve(path: &Path) -> PathBuf {
    let mut rest: VecDeque<OsString> = path.components().map(|part| part.as_os_str().to_owned()).collect();
    let mut result = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            None | Some(Component::CurDir) => {}
            Some(Component::ParentDir) => {
                result.pop();
            }
            Some(Component::RootDir | Component::Prefix(_)) => result.push(&part),
            Some(Component::Normal(name)) => {
                let next = result.join(name);
                match fs::read_link(&next) {
                    Ok(link) if links < MAX_LINKS => {
                        links += 1;
                        for part in link.components().rev() {
                            rest.push_front(part.as_os_str().to_owned());
                        }
                    }
                    _ => result = next,
                }
            }
        }
    }
    result
}

/// Device and inode of the file at a path.
#[cfg(unix)]
pub(crate) fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Only names can be compared on this system.
#[cfg(not(unix))]
pub(crate) fn inode(_: &Path) -> Option<(u64, u64)> {
    None
}
