//! SHA-256 digests.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::ArtifactError;

/// A SHA-256 digest, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Digest of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Digest and length in bytes of the file at `path`, which is read in pieces.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(path: &Path) -> Result<(Self, u64), ArtifactError> {
        let mut file = File::open(path).map_err(ArtifactError::io(path, "open it"))?;
        Self::of_reader(&mut file).map_err(ArtifactError::io(path, "read it"))
    }

    /// Digest and length in bytes of the input, which is read in pieces.
    pub(crate) fn of_reader(input: &mut dyn Read) -> io::Result<(Self, u64)> {
        let (mut hashing, mut buffer) = (DigestWriter::default(), vec![0; 1 << 18]);
        loop {
            let read = input.read(&mut buffer)?;
            if read == 0 {
                return Ok(hashing.finish());
            }
            hashing.update(&buffer[..read]);
        }
    }

    /// Digest of `value` as JSON, for example of settings.
    pub fn of_json<T: Serialize>(value: &T) -> Self {
        Self::of_bytes(serde_json::to_string(value).unwrap_or_default().as_bytes())
    }

    /// The hexadecimal digits without the prefix.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    fn finish(hasher: Sha256) -> Self {
        let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}"))
    }
}

/// Computes a digest from parts.
#[derive(Debug, Default)]
pub(crate) struct DigestWriter {
    hasher: Sha256,
    length: u64,
}

impl DigestWriter {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Number of bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Digest and number of all bytes.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest::finish(self.hasher), self.length)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn the_digest_agrees_with_the_published_one() {
        // FIPS 180-2, appendix B.1
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc").to_string(), expected);
    }
}
