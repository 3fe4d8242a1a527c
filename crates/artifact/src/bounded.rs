//! Reading and copying of files up to a limit in bytes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use crate::error::ArtifactError;

/// Reads the regular file at `path`; symbolic links are followed.
///
/// # Errors
/// If it cannot be read, is not a regular file, or has more than `limit` bytes (checked before reading).
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ArtifactError> {
    let file = open_regular(path).map_err(ArtifactError::io(path, "read it"))?;
    read_open(&file, limit).map_err(ArtifactError::io(path, "read it"))
}

/// Opens a regular file. Pipes, devices and folders are rejected without waiting.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Reads the rest of an open file, at most `limit` bytes.
pub(crate) fn read_open(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > limit {
        return Err(too_large(length, limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // the file can have grown since
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)? as u64;
    if read > limit { Err(too_large(read, limit)) } else { Ok(bytes) }
}

/// Copies the input, at most `limit` bytes.
///
/// # Errors
/// If the input cannot be read or the output written, or there are more bytes.
pub fn copy_bounded(input: &mut dyn Read, output: &mut dyn Write, limit: u64) -> io::Result<()> {
    let copied = io::copy(&mut input.take(limit.saturating_add(1)), output)?;
    if copied > limit { Err(too_large(copied, limit)) } else { Ok(()) }
}

/// Copies the regular file at `from` to `to`.
///
/// # Errors
/// If `from` cannot be read, is not a regular file, or has more than `limit` bytes; or if `to` cannot be written.
pub fn copy_file_bounded(from: &Path, to: &Path, limit: u64) -> Result<(), ArtifactError> {
    let mut input = open_regular(from).map_err(ArtifactError::io(from, "read it"))?;
    let length = input.metadata().map_err(ArtifactError::io(from, "read it"))?.len();
    if length > limit {
        return Err(ArtifactError::io(from, "read it")(too_large(length, limit)));
    }
    let mut output = File::create(to).map_err(ArtifactError::io(to, "write it"))?;
    copy_bounded(&mut input, &mut output, limit).map_err(ArtifactError::io(to, "write it"))
}

fn too_large(bytes: u64, limit: u64) -> io::Error {
    io::Error::other(format!("it has {bytes} bytes; at most {limit} are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap(), b"four");
        let error = read_bounded(&path, 3).unwrap_err().to_string();
        assert!(error.ends_with("a: cannot read it: it has 4 bytes; at most 3 are allowed"), "{error}");
        let error = read_bounded(folder.path(), 3).unwrap_err().to_string();
        assert!(error.ends_with("cannot read it: it is not a regular file"), "{error}");
        let mut copy = Vec::new();
        copy_bounded(&mut &b"four"[..], &mut copy, 4).unwrap();
        assert_eq!(copy, b"four");
        assert!(copy_bounded(&mut io::repeat(0), &mut io::sink(), 3).is_err());
        copy_file_bounded(&path, &folder.path().join("b"), 4).unwrap();
        let error = copy_file_bounded(&path, &folder.path().join("b"), 3).unwrap_err().to_string();
        assert!(error.ends_with("at most 3 are allowed"), "{error}");
        // a sparse file takes no memory either
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read_bounded(&path, 1 << 30).unwrap_err().to_string().contains("it has 1099511627776 bytes"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = read_bounded(&path, 3).unwrap_err().to_string();
        assert!(error.ends_with("pipe: cannot read it: it is not a regular file"), "{error}");
        assert!(read_bounded(Path::new("/dev/zero"), 3).unwrap_err().to_string().contains("it is not a regular file"));
    }
}
