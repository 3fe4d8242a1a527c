//! The envelope around a binary payload: magic, kind, format version, length, bincode payload, SHA-256 of all before.
//!
//! ```text
//! offset  size  content
//!      0     8  magic: 89 48 50 50 0D 0A 1A 0A (like PNG's: shows a transfer that changed line ends)
//!      8    16  kind, ASCII, padded with zeros
//!     24     4  format version, little endian
//!     28     8  length n of the payload, little endian
//!     36     n  payload, bincode 2 standard configuration
//!   36+n    32  SHA-256 of the bytes before
//! ```
//! The digest is checked before decoding. It detects damage but not manipulation, so each user of a payload also validates its indices.

use std::{io, path::Path};

use bincode::config;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{atomic_file::write_atomically, bounded::read_bounded, error::ArtifactError, file_entry::FileEntry};

/// First bytes of an envelope.
const MAGIC: [u8; 8] = *b"\x89HPP\r\n\x1a\n";
/// Bytes before the payload.
const HEADER_BYTES: usize = 36;
/// Bytes after the payload: a SHA-256 digest.
const TRAILER_BYTES: usize = 32;
/// Largest size of a file, and largest memory that decoding can claim, in bytes (1 GiB).
const MAX_BYTES: usize = 1 << 30;

/// Kind and version of the payload of an envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kind {
    /// Name, also for messages: at most 16 ASCII letters.
    pub name: &'static str,
    /// Format version that is written, and the newest that can be read.
    pub version: u32,
}

impl From<(&'static str, u32)> for Kind {
    fn from((name, version): (&'static str, u32)) -> Self {
        Self { name, version }
    }
}

/// The bytes of an envelope around `payload`.
///
/// # Errors
/// If bincode cannot encode the payload.
pub fn encode_envelope<T: Serialize>(kind: Kind, payload: &T) -> Result<Vec<u8>, String> {
    let payload = bincode::serde::encode_to_vec(payload, config::standard()).map_err(|error| error.to_string())?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + TRAILER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(padded(kind.name));
    bytes.extend(kind.version.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(payload);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    Ok(bytes)
}

/// Writes `payload` in an envelope at `path`, completely or not at all.
///
/// # Errors
/// If it cannot be encoded or written.
pub fn write_envelope<T: Serialize>(path: &Path, kind: Kind, payload: &T) -> Result<FileEntry, ArtifactError> {
    let bytes =
        encode_envelope(kind, payload).map_err(|reason| ArtifactError::InvalidPayload { path: path.to_owned(), reason })?;
    write_atomically(path, &bytes)
}

/// Reads the payload of the envelope at `path`. `hint` is the remedy if the file does not exist.
///
/// # Errors
/// If the file does not exist, has another kind or a newer version, is truncated, or is damaged.
pub fn read_envelope<T: DeserializeOwned>(path: &Path, kind: Kind, hint: &str) -> Result<T, ArtifactError> {
    read_envelope_bytes(&read_limited(path, hint)?, path, kind)
}

fn read_limited(path: &Path, hint: &str) -> Result<Vec<u8>, ArtifactError> {
    read_bounded(path, MAX_BYTES as u64).map_err(|error| match error {
        ArtifactError::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
            ArtifactError::Missing { path: path.to_owned(), hint: hint.to_owned() }
        }
        error => error,
    })
}

/// Reads the payload of the envelope in `bytes`, which came from `path`.
///
/// # Errors
/// Like [`read_envelope`], except for a missing file.
pub fn read_envelope_bytes<T: DeserializeOwned>(bytes: &[u8], path: &Path, kind: Kind) -> Result<T, ArtifactError> {
    let payload = decode_envelope(bytes, path, kind)?;
    let invalid = |reason: String| ArtifactError::InvalidPayload { path: path.to_owned(), reason };
    let (value, read) = bincode::serde::decode_from_slice(payload, config::standard().with_limit::<MAX_BYTES>())
        .map_err(|error| invalid(error.to_string()))?;
    if read != payload.len() {
        return Err(invalid(format!("{} extra bytes", payload.len() - read)));
    }
    Ok(value)
}

/// Reads a payload that can have the previous format version, whose type is `Old`.
///
/// # Errors
/// Like [`read_envelope`], or if the old form cannot be converted.
pub fn read_envelope_or_older<T, Old>(path: &Path, kind: Kind, hint: &str) -> Result<T, ArtifactError>
where
    T: DeserializeOwned + TryFrom<Old, Error: std::fmt::Display>,
    Old: DeserializeOwned,
{
    read_envelope_bytes_or_older(&read_limited(path, hint)?, path, kind)
}

/// Like [`read_envelope_or_older`], from `bytes`, which came from `path`.
///
/// # Errors
/// Like [`read_envelope_bytes`], or if the old form cannot be converted.
pub fn read_envelope_bytes_or_older<T, Old>(bytes: &[u8], path: &Path, kind: Kind) -> Result<T, ArtifactError>
where
    T: DeserializeOwned + TryFrom<Old, Error: std::fmt::Display>,
    Old: DeserializeOwned,
{
    // checks version and integrity first
    decode_envelope(bytes, path, kind)?;
    if version_of(bytes) == kind.version {
        return read_envelope_bytes(bytes, path, kind);
    }
    let old: Old = read_envelope_bytes(bytes, path, kind)?;
    old.try_into().map_err(|reason: <T as TryFrom<Old>>::Error| ArtifactError::InvalidPayload {
        path: path.to_owned(),
        reason: reason.to_string(),
    })
}

/// True if a file that starts with `head` is an envelope of this kind, of any version.
pub(crate) fn is_envelope_of(head: &[u8], kind: &str) -> bool {
    head.len() >= HEADER_BYTES && head[..8] == MAGIC && head[8..24] == padded(kind)
}

fn version_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[24 + i]))
}

/// Validates the envelope in `bytes` and returns its payload.
///
/// # Errors
/// Like [`read_envelope_bytes`], except for errors of decoding.
pub fn decode_envelope<'a>(bytes: &'a [u8], path: &Path, kind: Kind) -> Result<&'a [u8], ArtifactError> {
    let path = || path.to_owned();
    if bytes.len() < MAGIC.len() || bytes[..8] != MAGIC {
        return Err(ArtifactError::UnknownFormat { path: path() });
    }
    let found = bytes.len() as u64;
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return Err(ArtifactError::WrongLength { path: path(), expected: (HEADER_BYTES + TRAILER_BYTES) as u64, found });
    }
    let (content, digest) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    let length = u64::from_le_bytes(std::array::from_fn(|i| bytes[28 + i]));
    let expected = length.saturating_add((HEADER_BYTES + TRAILER_BYTES) as u64);
    if expected != found {
        return Err(ArtifactError::WrongLength { path: path(), expected, found });
    }
    if Sha256::digest(content).as_slice() != digest {
        return Err(ArtifactError::Damaged { path: path() });
    }
    if bytes[8..24] != padded(kind.name) {
        let found = String::from_utf8_lossy(&bytes[8..24]).trim_end_matches('\0').to_owned();
        return Err(ArtifactError::WrongKind { path: path(), expected: kind.name, found });
    }
    let version = version_of(bytes);
    if version == 0 || version > kind.version {
        return Err(ArtifactError::UnknownVersion { path: path(), found: version, known: kind.version });
    }
    Ok(&content[HEADER_BYTES..])
}

fn padded(name: &str) -> [u8; 16] {
    std::array::from_fn(|i| name.as_bytes().get(i).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "test", version: 2 };

    fn encoded() -> Vec<u8> {
        encode_envelope(KIND, &vec![("a".to_owned(), 1.5), ("b".to_owned(), f64::NAN)]).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<Vec<(String, f64)>, String> {
        read_envelope_bytes(bytes, Path::new("x.bin"), KIND).map_err(|error| error.to_string())
    }

    #[test]
    fn encoding_and_decoding_keep_the_value() {
        assert_eq!(decode(&encoded()).unwrap()[0], ("a".to_owned(), 1.5));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_detected() {
        let encoded = encoded();
        for byte in 0..encoded.len() {
            for bit in 0..8 {
                let mut broken = encoded.clone();
                broken[byte] ^= 1 << bit;
                assert!(decode(&broken).is_err(), "bit {bit} of byte {byte}");
            }
            assert!(decode(&encoded[..byte]).is_err(), "cut at {byte}");
        }
    }

    #[test]
    fn each_error_has_its_text() {
        let encoded = encoded();
        let damaged = |at: usize| {
            let mut bytes = encoded.clone();
            bytes[at] ^= 1;
            decode(&bytes).unwrap_err()
        };
        assert_eq!(damaged(0), "x.bin: is not a file of this project (unknown first bytes)");
        assert_eq!(damaged(40), "x.bin: is damaged (its content does not match the digest stored in it). Write it again");
        assert_eq!(decode(&encoded[..50]).unwrap_err(), "x.bin: wrong length: expected 68 bytes, found 50. Write it again");
        let other = encode_envelope(Kind { name: "other", version: 1 }, &1).unwrap();
        assert_eq!(decode(&other).unwrap_err(), "x.bin: holds \"other\", not \"test\"");
        let newer = encode_envelope(Kind { name: "test", version: 3 }, &1).unwrap();
        assert_eq!(
            decode(&newer).unwrap_err(),
            "x.bin: has format version 3; this program reads version 2 and older. Use a newer program, or write the file again"
        );
        let longer = encode_envelope(KIND, &(Vec::<(String, f64)>::new(), 7)).unwrap();
        assert_eq!(decode(&longer).unwrap_err(), "x.bin: cannot be decoded: 1 extra bytes");
    }
}
