//! Where a path leads, whatever its text: to compare files by.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::atomic_file::is_temporary_name;

/// Links that are followed at most, as on Linux.
const MAX_LINKS: usize = 40;
/// The folder of devices: a file that is written there would take the place of a device.
const DEVICES: &str = "/dev";
/// A folder of ordinary files all the same.
const SHARED_MEMORY: &str = "/dev/shm";

/// Where a path leads.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The name itself, in its folder without links: what a rename replaces.
    entry: PathBuf,
    /// The file that is read there: the name, with links followed.
    pub(crate) target: PathBuf,
    /// Device and inode of what is there.
    inode: Option<(u64, u64)>,
    pub(crate) is_folder: bool,
}

/// The path that a name has in its folder without links, `.` and `..`; a link with that name is not followed. Folders may be missing: what
/// stands at the result stands there once they are made, as [`Path::exists`] would not say before.
pub fn resolve_entry(path: &Path) -> PathBuf {
    Place::of(path).entry
}

impl Place {
    pub(crate) fn of(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let target = resolve(&absolute);
        let entry = match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => resolve(parent).join(name),
            _ => target.clone(),
        };
        Self { inode: inode(&target), is_folder: target.is_dir(), entry, target }
    }

    /// Whether both are one file: a rename over either, or a write through it, changes what is read at the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.has_name_of(other) || self.has_inode_of(other)
    }

    pub(crate) fn has_name_of(&self, other: &Self) -> bool {
        [&self.entry, &self.target].iter().any(|name| [&other.entry, &other.target].contains(name))
    }

    pub(crate) fn has_inode_of(&self, other: &Self) -> bool {
        self.inode.is_some() && self.inode == other.inode
    }

    /// Whether this lies below the other, whatever that is.
    pub(crate) fn lies_in(&self, other: &Self) -> bool {
        let is_other = |folder: &Path| {
            folder == other.target || folder == other.entry || (other.inode.is_some() && inode(folder) == other.inode)
        };
        [&self.entry, &self.target].into_iter().any(|name| name.ancestors().skip(1).any(is_other))
    }

    /// Whether writing the other would remove this, because its name is that of a temporary file which a killed run left.
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

/// An absolute path without links, `.` and `..`, as the system would go it. Names that are not there yet are taken as they stand.
fn resolve(path: &Path) -> PathBuf {
    let mut rest: VecDeque<OsString> = path.components().map(|part| part.as_os_str().to_owned()).collect();
    let mut found = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            None | Some(Component::CurDir) => {}
            Some(Component::ParentDir) => {
                found.pop();
            }
            Some(Component::RootDir | Component::Prefix(_)) => found.push(&part),
            Some(Component::Normal(name)) => {
                let next = found.join(name);
                match fs::read_link(&next) {
                    Ok(link) if links < MAX_LINKS => {
                        links += 1;
                        for part in link.components().rev() {
                            rest.push_front(part.as_os_str().to_owned());
                        }
                    }
                    _ => found = next,
                }
            }
        }
    }
    found
}

/// Device and inode of what is at a path.
#[cfg(unix)]
pub(crate) fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Names are all that can be compared here.
#[cfg(not(unix))]
pub(crate) fn inode(_: &Path) -> Option<(u64, u64)> {
    None
}
