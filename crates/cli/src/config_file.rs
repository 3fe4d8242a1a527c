//! Reads configuration files.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

/// The longest text that is read, in bytes: a model of another program may be large.
const MAX_BYTES: u64 = 1 << 30;

/// The text of the configuration at `path`, without a byte-order mark.
///
/// # Errors
/// If it is absent, too long or not UTF-8; says how to name another with `flag`.
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
