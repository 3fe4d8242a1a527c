//! Bundles that someone made by hand: each is refused, and none takes memory or time to speak of.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use crate::{
    bundle::read_bundle,
    bundle_archive::write_bundle_archive,
    bundle_folder::write_bundle_folder,
    bundle_limits::{BUNDLE_MANIFEST, BundleFiles},
    bundle_manifest::BundleManifest,
};

/// The files of a bundle with a model of these bytes.
fn files(model: Vec<u8>) -> BundleFiles {
    let mut files = BundleFiles::from([("model.bin".to_owned(), model), ("metrics.json".to_owned(), b"{}".to_vec())]);
    let manifest = BundleManifest::new("m", "s", Vec::new(), Vec::new(), &files);
    files.insert(BUNDLE_MANIFEST.into(), serde_json::to_vec_pretty(&manifest).unwrap());
    files
}

/// A tar entry: its path, its kind, the size that its header states, and its content.
struct Entry<'a> {
    path: &'a str,
    kind: u8,
    stated: u64,
    content: &'a [u8],
}

fn file<'a>(path: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry { path, kind: b'0', stated: content.len() as u64, content }
}

/// The bytes of a tar, without what ends it.
fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        // as it is: the crate would refuse paths that lead outside
        header.as_gnu_mut().unwrap().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.set_entry_type(tar::EntryType::new(entry.kind));
        header.set_size(entry.stated);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(entry.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn whole(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = tar(entries);
    bytes.resize(bytes.len() + 1024, 0);
    gzip(&bytes)
}

/// Why an archive of these bytes is no bundle.
fn error_text(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.tar.gz");
    fs::write(&path, bytes).unwrap();
    let error = read_bundle(&path).unwrap_err().to_string();
    error.split_once("is not a valid bundle: ").unwrap_or_else(|| panic!("{error}")).1.to_owned()
}

fn sound() -> Vec<(String, Vec<u8>)> {
    files(b"model".to_vec()).into_iter().map(|(name, content)| (format!("m-1/{name}"), content)).collect()
}

/// A sound bundle with more entries behind it.
fn with(more: &[Entry]) -> Vec<u8> {
    let sound = sound();
    let mut bytes = tar(&sound.iter().map(|(path, content)| file(path, content)).collect::<Vec<_>>());
    bytes.extend(tar(more));
    bytes.resize(bytes.len() + 1024, 0);
    gzip(&bytes)
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, directory) = (folder.path().join("b.tar.gz"), folder.path().join("b"));
    // as long as names of models may be, and a content that packs far better than any model
    let name = "n".repeat(180);
    for model in [b"model".to_vec(), vec![7; 40 << 20]] {
        let files = files(model);
        write_bundle_archive(&archive, &name, &files).unwrap();
        write_bundle_folder(&directory, &files).unwrap();
        assert!(read_bundle(&archive).unwrap() == files && read_bundle(&directory).unwrap() == files);
    }
    assert_eq!(error_text(&with(&[])[..40]), "incomplete deflate stream");
    // as tar pads its last block
    let mut padded = tar(&sound().iter().map(|(path, content)| file(path, content)).collect::<Vec<_>>());
    padded.resize(padded.len().next_multiple_of(10240) + 10240, 0);
    fs::write(&archive, gzip(&padded)).unwrap();
    assert_eq!(read_bundle(&archive).unwrap(), files(b"model".to_vec()));
}

#[test]
fn what_is_too_large_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(Vec::new());
    files.insert("metrics.json".into(), vec![b' '; (16 << 20) + 1]);
    let expected = "is not a valid bundle: metrics.json has 16777217 bytes; at most 16777216 are allowed";
    let error = write_bundle_archive(&folder.path().join("b.tar.gz"), "b", &files).unwrap_err().to_string();
    assert!(error.ends_with(expected), "{error}");
    let error = write_bundle_folder(&folder.path().join("b"), &files).unwrap_err().to_string();
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn sizes_are_refused_before_anything_is_unpacked() {
    let claimed = |path, stated| Entry { path, kind: b'0', stated, content: b"" };
    let limit = 1 << 30;
    let said = error_text(&whole(&[claimed("m-1/model.bin", limit + 1)]));
    assert_eq!(said, "model.bin has 1073741825 bytes; at most 1073741824 are allowed");
    let said = error_text(&whole(&[claimed("m-1/manifest.json", 5 << 20)]));
    assert_eq!(said, "manifest.json has 5242880 bytes; at most 4194304 are allowed");
    let said = error_text(&whole(&[claimed("m-1/model.bin", 1 << 63)]));
    assert_eq!(said, "model.bin has 9223372036854775808 bytes; at most 1073741824 are allowed");
    assert_eq!(error_text(&whole(&[claimed("m-1/model.bin", u64::MAX)])), "size overflow");
    // each as large as it may be, and together too large
    let said = error_text(&whole(&[claimed("m-1/unknown.bin", 3 << 29), claimed("m-1/model.bin", limit)]));
    assert!(said.starts_with("it unpacks to more than") || said.contains("unexpected"), "{said}");
    let said = error_text(&whole(&[claimed("m-1/unknown.bin", (3 << 29) + 1)]));
    assert_eq!(said, "its files have 1610612737 bytes up to unknown.bin; at most 1610612736 are allowed");
}

#[test]
fn what_unpacks_to_far_more_than_it_is_is_refused() {
    let zeros = vec![0; 100 << 20];
    let expected = "it unpacks to more than 32 times its size (and 16777216 bytes)";
    assert_eq!(error_text(&whole(&[file("m-1/model.bin", &zeros)])), expected);
    // with a manifest that is right
    let right = files(zeros.clone());
    let entries: Vec<(String, Vec<u8>)> =
        right.into_iter().map(|(name, content)| (format!("m-1/{name}"), content)).collect();
    assert_eq!(error_text(&whole(&entries.iter().map(|(path, content)| file(path, content)).collect::<Vec<_>>())), expected);
    // under a name that no bundle has, and behind the end
    assert_eq!(error_text(&with(&[file("m-1/other.bin", &zeros)])), expected);
    let mut behind = tar(&[file("m-1/other.bin", b"")]);
    behind.extend(&zeros);
    assert!(error_text(&gzip(&behind)).starts_with("it has data after its last entry"));
}

#[test]
fn headers_that_lead_on_are_not_read() {
    let long = |kind, stated| Entry { path: "././@LongLink", kind, stated, content: b"x" };
    assert_eq!(error_text(&whole(&[long(b'L', 1 << 40)])), "it has a path of 1099511627776 bytes; at most 1024 are allowed");
    assert_eq!(error_text(&whole(&[long(b'L', 1), long(b'L', 1)])), "x is not a file");
    assert_eq!(error_text(&whole(&[long(b'L', 1)])), "a long name is not followed by a file");
    for kind in *b"KxgSV1234567" {
        let said = error_text(&whole(&[long(kind, 1 << 40)]));
        assert_eq!(said, "././@LongLink is not a file", "{}", char::from(kind));
    }
    let many = sound().iter().map(|(path, _)| path.clone()).chain((0..50).map(|i| format!("m-1/{i}"))).collect::<Vec<_>>();
    let many: Vec<Entry> = many.iter().map(|path| file(path, b"")).collect();
    assert_eq!(error_text(&whole(&many)), "it has more than 40 entries");
}

#[test]
fn entries_lie_in_one_folder_once() {
    for (path, expected) in [
        ("model.bin", "model.bin is outside the folder"),
        ("m-1/a/model.bin", "m-1/a/model.bin is outside the folder"),
        ("../model.bin", "../model.bin is outside the folder"),
        ("m-1/../model.bin", "m-1/../model.bin is outside the folder"),
        ("/model.bin", "/model.bin is outside the folder"),
        ("m-2/reference.json", "m-2/reference.json is not in the folder m-1"),
        ("m-1/model.bin", "model.bin is a duplicate"),
        ("m-1/extra.txt", "extra.txt is not listed in manifest.json"),
        ("m-1/reference.json", "reference.json is not listed in manifest.json"),
    ] {
        assert_eq!(error_text(&with(&[file(path, b"x")])), expected, "{path}");
    }
    let folder = Entry { path: "m-1/reference.json", kind: b'5', stated: 0, content: b"" };
    assert_eq!(error_text(&with(&[folder])), "m-1/reference.json is not a file");
    assert_eq!(error_text(&whole(&[file("m-1/model.bin", b"x")])), "manifest.json is missing");
    assert_eq!(error_text(&whole(&[])), "manifest.json is missing");
}

#[test]
fn an_archive_ends_where_it_ends() {
    let sound = with(&[]);
    let mut garbage = sound.clone();
    garbage.extend(b"garbage");
    assert_eq!(error_text(&garbage), "it has data after its end");
    // another member, which other programs would read on with
    let mut members = sound.clone();
    members.extend(gzip(&tar(&[file("m-1/model.bin", b"other")])));
    assert_eq!(error_text(&members), "it has data after its end");
    let mut checksum = sound.clone();
    let at = sound.len() - 8;
    checksum[at] ^= 1;
    assert!(error_text(&checksum).contains("corrupt"), "{}", error_text(&checksum));
}

/// A sound bundle as a folder, after something was done to it; why it is none.
fn folder_fault(change: impl FnOnce(&Path)) -> String {
    let parent: TempDir = tempfile::tempdir().unwrap();
    let path = parent.path().join("b");
    write_bundle_folder(&path, &files(b"model".to_vec())).unwrap();
    change(&path);
    let error = read_bundle(&path).unwrap_err().to_string();
    error.split_once("is not a valid bundle: ").unwrap_or_else(|| panic!("{error}")).1.to_owned()
}

#[test]
fn a_folder_holds_files_of_their_size_and_nothing_else() {
    // holes take no disk; only what is right is kept in memory
    let hole = |name: &'static str, bytes| move |path: &Path| File::create(path.join(name)).unwrap().set_len(bytes).unwrap();
    let said = folder_fault(hole("model.bin", 1 << 40));
    assert_eq!(said, "model.bin has 1099511627776 bytes; at most 1073741824 are allowed");
    assert!(folder_fault(hole("model.bin", 100 << 20)).starts_with("model.bin has changed"));
    let said = folder_fault(hole("manifest.json", 5 << 20));
    assert_eq!(said, "manifest.json has 5242880 bytes; at most 4194304 are allowed");
    assert_eq!(folder_fault(hole("extra.bin", 1 << 40)), "extra.bin is not listed in manifest.json");
    let many = |path: &Path| (0..50).for_each(|i| fs::write(path.join(i.to_string()), "").unwrap());
    assert_eq!(folder_fault(many), "it has more than 40 files");
    assert_eq!(folder_fault(|path| fs::create_dir(path.join("more")).unwrap()), "more is not a file");
}

#[cfg(unix)]
#[test]
fn pipes_links_and_devices_are_not_read() {
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let said = folder_fault(|path| {
        fs::remove_file(path.join("model.bin")).unwrap();
        pipe(&path.join("model.bin"));
    });
    assert_eq!(said, "model.bin is not a file");
    let said = folder_fault(|path| {
        fs::rename(path.join("model.bin"), path.parent().unwrap().join("model.bin")).unwrap();
        std::os::unix::fs::symlink("../model.bin", path.join("model.bin")).unwrap();
    });
    assert_eq!(said, "model.bin is not a file");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.tar.gz");
    pipe(&path);
    let error = read_bundle(&path).unwrap_err().to_string();
    assert!(error.ends_with("is not a valid bundle: it is not a regular file"), "{error}");
    assert!(read_bundle(Path::new("/dev/zero")).unwrap_err().to_string().ends_with("it is not a regular file"));
    assert!(super::bundle_digest(&path).unwrap_err().to_string().ends_with("it is not a regular file"));
}
