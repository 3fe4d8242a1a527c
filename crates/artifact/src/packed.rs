//! Gzip-compressed tar files of unknown origin, entry by entry, in little memory.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;
use tar::EntryType;

use crate::digest::{Digest, DigestWriter};

/// Bytes that may be unpacked however few they were packed in.
const FREE_BYTES: u64 = 16 << 20;
/// Beyond them, bytes that may be unpacked for each packed one. Models are packed to a half or a fifth, pages of text to a twentieth. gzip
/// packs zeros to a thousandth.
const MAX_RATIO: u64 = 32;
/// Bytes of a path that has a header of its own (GNU); longer ones are in no file of ours.
const MAX_PATH_BYTES: u64 = 1024;
/// Zeros that may follow the last entry: writers fill up their last block.
const MAX_PADDING: u64 = 1 << 20;

/// What a packed file may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct PackedLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes unpacked.
    pub bytes: u64,
}

/// An entry: a file, or a folder of no size.
#[derive(Clone, Copy, Debug)]
pub struct PackedEntry<'a> {
    /// Its path as it is written: not yet checked to lie inside anything.
    pub path: &'a Path,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its size in bytes as its header states it.
    pub bytes: u64,
}

/// Calls `visit` with every entry of a gzip-compressed tar and a reader of its content; returns the digest of the unpacked tar.
///
/// # Errors
/// If the file is damaged, exceeds a limit, unpacks to far more bytes than it has, or goes on behind its end. If an entry is neither a plain
/// file nor a folder, or `visit` refuses it.
pub fn visit_packed(
    packed: impl Read,
    limits: PackedLimits,
    visit: &mut dyn FnMut(PackedEntry, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Digest> {
    let gzip = GzDecoder::new(BufReader::new(CountingReader { input: packed, bytes: 0 }));
    let mut archive =
        tar::Archive::new(BoundedReader { gzip, limit: limits.bytes, bytes: 0, digest: DigestWriter::default() });
    let (mut count, mut long_path) = (0, None);
    // raw: long names and extended headers would be read whole, whatever size they state
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
    ensure(long_path.is_none(), || "a name is followed by no file".into())?;
    finish(archive.into_inner())
}

/// A path that is written as the content of an entry, ended by a zero.
fn read_path(entry: &mut impl Read, bytes: u64) -> io::Result<PathBuf> {
    ensure(bytes <= MAX_PATH_BYTES, || format!("it has a path of {bytes} bytes; {MAX_PATH_BYTES} are the most"))?;
    let mut text = String::new();
    entry.take(MAX_PATH_BYTES).read_to_string(&mut text)?;
    Ok(PathBuf::from(text.trim_end_matches('\0')))
}

/// Reads to the end, where checksums stand, and makes sure that it is one.
fn finish<R: Read>(mut unpacked: BoundedReader<R>) -> io::Result<Digest> {
    let (mut buffer, mut padding) = ([0; 4096], 0);
    loop {
        let read = unpacked.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        padding += read as u64;
        let empty = buffer[..read].iter().all(|byte| *byte == 0) && padding <= MAX_PADDING;
        ensure(empty, || "it goes on behind its last entry".into())?;
    }
    ensure(unpacked.gzip.get_mut().fill_buf()?.is_empty(), || "it goes on behind its end".into())?;
    Ok(unpacked.digest.finish().0)
}

/// Whether so many bytes, packed in so few, would be refused when they are read.
pub fn is_too_dense(unpacked: u64, packed: u64) -> bool {
    unpacked > FREE_BYTES + MAX_RATIO * packed
}

/// Counts what is read.
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

/// Bounds what is unpacked, and digests it.
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
            format!("it unpacks to more than {MAX_RATIO} times its size (and {FREE_BYTES} bytes)")
        })?;
        Ok(read)
    }
}

pub(crate) fn ensure(holds: bool, fault: impl FnOnce() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(fault())) }
}
