//! The files of a bundle, and how large each can be.

use std::collections::BTreeMap;

/// The file of a bundle that lists the others.
pub const BUNDLE_MANIFEST: &str = "manifest.json";
/// Bytes of all files of a bundle together.
pub(crate) const MAX_BUNDLE_BYTES: u64 = 3 << 29;
/// Bytes of an archive: no larger than what is in it, but for headers.
pub(crate) const MAX_ARCHIVE_BYTES: u64 = MAX_BUNDLE_BYTES + MEBIBYTE;

const MEBIBYTE: u64 = 1 << 20;

/// Every file that a bundle may have, and its largest size in bytes.
///
/// A model of 1 GiB is the largest that its format can be read from: some 20 million tree nodes. The longest card of a table of
/// 10,000 columns has about 5 MiB, its preprocessor and its reference less than 20 MiB. Text that is parsed into trees of values takes up to
/// 16 times its size in memory, hence the tighter limits of the two JSON files that are.
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

/// The largest size in bytes of the file `name` of a bundle; `None` if bundles have no such file.
pub fn bundle_file_limit(name: &str) -> Option<u64> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, limit)| *limit)
}

/// Checks one more file of a bundle; `total` is the size of all before it, and afterwards of all.
///
/// # Errors
/// Names the file and the limit.
pub(crate) fn check_size(name: &str, bytes: u64, total: &mut u64) -> Result<(), String> {
    if let Some(limit) = bundle_file_limit(name).filter(|limit| bytes > *limit) {
        return Err(format!("{name} has {bytes} bytes; in a bundle it has at most {limit}"));
    }
    *total = total.saturating_add(bytes);
    if *total > MAX_BUNDLE_BYTES {
        return Err(format!("its files have {total} bytes up to {name}; a bundle's have at most {MAX_BUNDLE_BYTES}"));
    }
    Ok(())
}

/// Checks that `files` can be read again once they are written.
///
/// # Errors
/// Names the file at fault.
pub(crate) fn check_sizes(files: &BundleFiles) -> Result<(), String> {
    let mut total = 0;
    for (name, bytes) in files {
        if bundle_file_limit(name).is_none() {
            return Err(format!("{name} is no file of a bundle"));
        }
        check_size(name, bytes.len() as u64, &mut total)?;
    }
    Ok(())
}
