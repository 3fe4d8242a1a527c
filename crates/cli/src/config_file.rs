//! Reads configuration files.

use std::{fs, io, path::Path};

/// The text of the configuration at `path`, without a byte-order mark.
///
/// # Errors
/// If it is absent or not UTF-8; says how to name another with `flag`.
pub fn read_text(path: &Path, flag: &str) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            anyhow::bail!("{}: no such file; name the configuration with {flag}", path.display())
        }
        Err(error) => anyhow::bail!("{}: cannot read it: {error}", path.display()),
    }
}
