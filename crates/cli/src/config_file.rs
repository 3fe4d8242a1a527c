//! Reading of configuration files.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

/// Largest size of a text in bytes (1 GiB); imported models can be large.
const MAX_BYTES: u64 = 1 << 30;

/// Reads the configuration at `path`, without a byte-order mark.
///
/// # Errors
/// If it does not exist, is too long or is not UTF-8; the message names `flag` as the remedy.
pub fn read_text(path: &Path, flag: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text)).map(|_| text);
    match read {
        Ok(text) if text.len() as u64 > MAX_BYTES => anyhow::bail!("{}: is longer than {MAX_BYTES} bytes", path.display()),
        Ok(text) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            anyhow::bail!("{}: no such file; name the configuration with {flag}", path.display())
        }
        Err(error) => anyhow::bail!("{}: cannot read it: {error}", path.display()),
    }
}
