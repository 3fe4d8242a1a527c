//! Files of a bundle and their size limits.

use std::collections::BTreeMap;

/// Name of the file of a bundle that lists the others.
pub const BUNDLE_MANIFEST: &str = "manifest.json";
/// Largest size of all files of a bundle together, in bytes (1.5 GiB).
pub(crate) const MAX_BUNDLE_BYTES: u64 = 3 << 29;
/// Largest size of an archive, in bytes: that of its files, plus headers.
pub(crate) const MAX_ARCHIVE_BYTES: u64 = MAX_BUNDLE_BYTES + MEBIBYTE;

/// Bytes of a mebibyte.
const MEBIBYTE: u64 = 1 << 20;

/// All files that a bundle can have, with their largest size in bytes.
///
/// 1 GiB is the largest model that its format can be read from: some 20 million tree nodes. The longest card of a table of 10,000 columns
/// has about 5 MiB, its preprocessor and its reference less than 20 MiB. JSON that is parsed into trees of values takes up to 16 times its
/// size in memory, hence the tighter limits of those two files.
const FILES: [(&str, u64); 10] = [
    ("MODEL_CARD.html", 32 * MEBIBYTE),
    ("MODEL_CARD.md", 32 * MEBIBYTE),
    (BUNDLE_MANIFEST, 4 * MEBIBYTE),
    ("metrics.json", 16 * MEBIBYTE),
    ("model.bin", 1024 * MEBIBYTE),
    ("model_config.yaml", 8 * MEBIBYTE),
    ("pipeline.yaml", 32 * MEBIBYTE),
    ("preprocessor.bin", 256 * MEBIBYTE),
    ("reference.json", 64 * MEBIBYTE),
    ("schema.json", 32 * MEBIBYTE),
];

/// The files of a bundle by name.
pub type BundleFiles = BTreeMap<String, Vec<u8>>;

/// Largest size in bytes of the file `name` of a bundle; `None` if bundles have no such file.
pub fn bundle_file_limit(name: &str) -> Option<u64> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, limit)| *limit)
}

/// Checks the size of one more file of a bundle; `total` is the size of all files before it, and then of all.
///
/// # Errors
/// If a limit is exceeded; the message names the file and the limit.
pub(crate) fn check_size(name: &str, bytes: u64, total: &mut u64) -> Result<(), String> {
    if let Some(limit) = bundle_file_limit(name).filter(|limit| bytes > *limit) {
        return Err(format!("{name} has {bytes} bytes; at most {limit} are allowed"));
    }
    *total = total.saturating_add(bytes);
    if *total > MAX_BUNDLE_BYTES {
        return Err(format!("its files have {total} bytes up to {name}; at most {MAX_BUNDLE_BYTES} are allowed"));
    }
    Ok(())
}

/// Checks that `files` can be read again after writing.
///
/// # Errors
/// If a file is invalid; the message names it.
pub(crate) fn check_sizes(files: &BundleFiles) -> Result<(), String> {
    let mut total = 0;
    for (name, bytes) in files {
        if bundle_file_limit(name).is_none() {
            return Err(format!("{name} is not a file of a bundle"));
        }
        check_size(name, bytes.len() as u64, &mut total)?;
    }
    Ok(())
}
