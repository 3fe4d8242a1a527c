//! Reading of gzip-compressed tar files from untrusted sources, entry by entry and in little memory.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;
use tar::EntryType;

use crate::digest::{Digest, DigestWriter};

/// Number of bytes that may always be unpacked.
const ALWAYS_ALLOWED_BYTES: u64 = 16 << 20;
/// Largest ratio of unpacked to packed bytes above that. Models compress to a half or a fifth, text to a twentieth, zeros to a thousandth.
const MAX_RATIO: u64 = 32;
/// Longest path with a header of its own (GNU), in bytes.
const MAX_PATH_BYTES: u64 = 1024;
/// Largest number of zeros after the last entry; writers fill their last block.
const MAX_PADDING_BYTES: u64 = 1 << 20;

/// Limits of a packed file.
#[derive(Clone, Copy, Debug)]
pub struct PackedLimits {
    /// Largest number of entries.
    pub entries: usize,
    /// Largest number of unpacked bytes.
    pub bytes: u64,
}

/// An entry: a file, or a folder of size 0.
#[derive(Clone, Copy, Debug)]
pub struct PackedEntry<'a> {
    /// Path as written in the archive, not validated.
    pub path: &'a Path,
    /// True for a folder.
    pub is_folder: bool,
    /// Size in bytes according to its header.
    pub bytes: u64,
}

/// Calls `visit` with each entry of a gzip-compressed tar and a reader of its content; returns the digest of the unpacked tar.
///
/// # Errors
/// If the file is damaged, exceeds a limit, or has data after its end. If an entry is neither a plain file nor a folder, or `visit` fails.
pub fn visit_packed(
    packed: impl Read,
    limits: PackedLimits,
    visit: &mut dyn FnMut(PackedEntry, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Digest> {
    let gzip = GzDecoder::new(BufReader::new(CountingReader { input: packed, bytes: 0 }));
    let mut archive =
        tar::Archive::new(BoundedReader { gzip, limit: limits.bytes, bytes: 0, digest: DigestWriter::default() });
    let (mut count, mut long_path) = (0, None);
    // raw, because long names and extended headers would be read completely, whatever their size
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        count += 1;
        ensure(count <= limits.entries, || format!("it has more than {} entries", limits.entries))?;
        let bytes = entry.header().entry_size()?;
        let kind = entry.header().entry_type();
        if kind == EntryType::GNULongName && long_path.is_none() {
            long_path = Some(read_path(&mut entry, bytes)?);
            continue;
        }
        let path = match long_path.take() {
            Some(path) => path,
            None => entry.path()?.into_owned(),
        };
        let is_folder = kind == EntryType::Directory && bytes == 0;
        ensure(kind.is_file() || is_folder, || format!("{} is not a file", path.display()))?;
        visit(PackedEntry { path: &path, is_folder, bytes }, &mut entry)?;
    }
    ensure(long_path.is_none(), || "a long name is not followed by a file".into())?;
    finish(archive.into_inner())
}

/// Reads a path that is the content of an entry and ends with a zero.
fn read_path(entry: &mut impl Read, bytes: u64) -> io::Result<PathBuf> {
    ensure(bytes <= MAX_PATH_BYTES, || format!("it has a path of {bytes} bytes; at most {MAX_PATH_BYTES} are allowed"))?;
    let mut text = String::new();
    entry.take(MAX_PATH_BYTES).read_to_string(&mut text)?;
    Ok(PathBuf::from(text.trim_end_matches('\0')))
}

/// Reads to the end, which checks the checksums, and rejects further data.
fn finish<R: Read>(mut unpacked: BoundedReader<R>) -> io::Result<Digest> {
    let (mut buffer, mut padding) = ([0; 4096], 0);
    loop {
        let read = unpacked.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        padding += read as u64;
        let empty = buffer[..read].iter().all(|byte| *byte == 0) && padding <= MAX_PADDING_BYTES;
        ensure(empty, || "it has data after its last entry".into())?;
    }
    ensure(unpacked.gzip.get_mut().fill_buf()?.is_empty(), || "it has data after its end".into())?;
    Ok(unpacked.digest.finish().0)
}

/// True if this ratio of unpacked to packed bytes would be rejected by a reader.
pub fn is_too_dense(unpacked: u64, packed: u64) -> bool {
    unpacked > ALWAYS_ALLOWED_BYTES + MAX_RATIO * packed
}

/// A reader that counts bytes.
struct CountingReader<R> {
    input: R,
    bytes: u64,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// A reader that limits and digests unpacked bytes.
struct BoundedReader<R> {
    gzip: GzDecoder<BufReader<CountingReader<R>>>,
    limit: u64,
    bytes: u64,
    digest: DigestWriter,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.gzip.read(buffer)?;
        self.bytes += read as u64;
        self.digest.update(&buffer[..read]);
        let limit = self.limit;
        ensure(self.bytes <= limit, || format!("it unpacks to more than {limit} bytes"))?;
        let packed = self.gzip.get_ref().get_ref().bytes;
        ensure(!is_too_dense(self.bytes, packed), || {
            format!("it unpacks to more than {MAX_RATIO} times its size (and {ALWAYS_ALLOWED_BYTES} bytes)")
        })?;
        Ok(read)
    }
}

pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(message())) }
}
