//! Properties of envelopes and bundles: what is written is read back, and a changed file is an error that names it.

#[path = "../../testkit/shared/property_config.rs"]
mod property_config;

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use artifact::{
    BUNDLE_MANIFEST, BundleFiles, BundleManifest, Digest, Gate, GateOutcome, Kind, LineageStep, NamedDigest,
    encode_envelope, read_bundle, read_envelope_bytes, write_bundle_archive, write_bundle_folder,
};
use flate2::{Compression, write::GzEncoder};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{Index, select},
};

/// Damage to a file.
#[derive(Clone, Debug)]
enum Damage {
    /// One bit is another.
    Flip(Index, u8),
    /// Bytes from here on are lost.
    Cut(Index),
    /// Bytes are added at the end.
    Extend(Vec<u8>),
    /// A byte is lost.
    Remove(Index),
    /// A byte is written twice.
    Repeat(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        6 => (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => any::<Index>().prop_map(Damage::Cut),
        1 => vec(any::<u8>(), 1..600).prop_map(Damage::Extend),
        1 => (1_usize..2000).prop_map(|zeros| Damage::Extend(vec![0; zeros])),
        1 => any::<Index>().prop_map(Damage::Remove),
        1 => any::<Index>().prop_map(Damage::Repeat),
    ]
}

impl Damage {
    /// The damaged bytes, which differ from `bytes`.
    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        match self {
            Self::Flip(at, bit) => damaged[at.index(bytes.len())] ^= 1 << bit,
            Self::Cut(at) => damaged.truncate(at.index(bytes.len())),
            Self::Extend(more) => damaged.extend(more),
            Self::Remove(at) => {
                damaged.remove(at.index(bytes.len()));
            }
            Self::Repeat(at) => damaged.insert(at.index(bytes.len()), bytes[at.index(bytes.len())]),
        }
        damaged
    }
}

type Payload = (Vec<(String, f64)>, Option<BTreeMap<String, u64>>, Vec<u32>);

fn payload() -> impl Strategy<Value = Payload> {
    (
        vec((".{0,6}", any::<f64>()), 0..5),
        prop::option::of(btree_map("[a-zé]{0,4}", any::<u64>(), 0..4)),
        vec(any::<u32>(), 0..40),
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    (select(vec!["a", "model", "preprocessor", "sixteen_letters_"]), 1_u32..5).prop_map(Kind::from)
}

fn bits((pairs, counts, codes): &Payload) -> impl PartialEq + std::fmt::Debug + use<> {
    let pairs: Vec<(String, u64)> = pairs.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect();
    (pairs, counts.clone(), codes.clone())
}

proptest! {
    #![proptest_config(property_config::property_config(2000))]

    #[test]
    fn an_envelope_holds_what_was_written(payload in payload(), kind in kind(), newer in 0_u32..3, damage in damage()) {
        let path = Path::new("folder/x.bin");
        let bytes = encode_envelope(kind, &payload).unwrap();
        let reader = Kind { version: kind.version + newer, ..kind };
        let read: Payload = read_envelope_bytes(&bytes, path, reader).unwrap();
        prop_assert_eq!(bits(&read), bits(&payload));

        let damaged = damage.apply(&bytes);
        let error = read_envelope_bytes::<Payload>(&damaged, path, reader).map(|payload| bits(&payload)).unwrap_err();
        prop_assert!(error.to_string().starts_with("folder/x.bin: "), "{}", error);
    }

    #[test]
    fn bytes_that_are_no_envelope_are_an_error(bytes in vec(any::<u8>(), 0..200), whole in any::<bool>()) {
        let bytes = if whole { bytes } else { [b"\x89HPP\r\n\x1a\n", bytes.as_slice()].concat() };
        let kind = Kind { name: "a", version: 1 };
        let error = read_envelope_bytes::<Payload>(&bytes, Path::new("x.bin"), kind).unwrap_err();
        prop_assert!(error.to_string().starts_with("x.bin: "), "{}", error);
    }

    #[test]
    fn a_payload_of_another_type_is_a_value_or_an_error(payload in payload()) {
        let kind = Kind { name: "a", version: 1 };
        let bytes = encode_envelope(kind, &payload).unwrap();
        if let Err(error) = read_envelope_bytes::<Vec<(u64, String)>>(&bytes, Path::new("x.bin"), kind) {
            prop_assert!(error.to_string().starts_with("x.bin: cannot be decoded: "), "{}", error);
        }
    }
}

/// Contents whose sizes lie around the blocks of a tar, some of which pack far better than others.
fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..60),
        2 => (select(vec![0_usize, 1, 511, 512, 513, 1024, 5000]), any::<u8>()).prop_map(|(bytes, byte)| vec![byte; bytes]),
        1 => vec(any::<u8>(), 500..1100),
    ]
}

/// The files of a bundle, with a manifest.
fn bundle() -> impl Strategy<Value = BundleFiles> {
    let names = ["model.bin", "preprocessor.bin", "metrics.json", "schema.json", "MODEL_CARD.md", "reference.json"];
    let files = btree_map(select(names.to_vec()).prop_map(str::to_owned), content(), 1..6);
    (files, "[a-zé]{1,9}", ".{0,9}", any::<u64>()).prop_map(|(mut files, name, text, rows)| {
        let outputs: Vec<NamedDigest> =
            files.iter().map(|(name, bytes)| NamedDigest { name: name.clone(), digest: Digest::of_bytes(bytes) }).collect();
        let step = LineageStep {
            stage: "train".into(),
            version: text.clone(),
            inputs: outputs.clone(),
            outputs,
            rows: BTreeMap::from([("train".into(), rows)]),
        };
        let gate = Gate { gate: "leakage".into(), answer: GateOutcome::Waived, finding: text.clone(), reason: Some(text) };
        let manifest = BundleManifest::new(&name, "schema", vec![step], vec![gate], &files);
        files.insert(BUNDLE_MANIFEST.into(), serde_json::to_vec_pretty(&manifest).unwrap());
        files
    })
}

/// The files of the bundle at `path`, or an error that names it.
fn read(path: &Path) -> Result<BundleFiles, TestCaseError> {
    read_bundle(path).map_err(|error| {
        let error = error.to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        TestCaseError::fail(error)
    })
}

proptest! {
    #![proptest_config(property_config::property_config(25))]

    #[test]
    fn a_bundle_is_read_as_it_was_written(files in bundle(), folder in "[a-zé][a-z0-9é._ -]{0,170}") {
        let parent = tempfile::tempdir().unwrap();
        let (archive, directory) = (parent.path().join("b.tar.gz"), parent.path().join("b"));
        write_bundle_archive(&archive, &folder, &files).unwrap();
        write_bundle_folder(&directory, &files).unwrap();
        prop_assert_eq!(&read(&archive)?, &files);
        prop_assert_eq!(&read(&directory)?, &files);
        prop_assert!(BundleManifest::from_files(&files).is_ok());
        let again = parent.path().join("again.tar.gz");
        write_bundle_archive(&again, &folder, &files).unwrap();
        prop_assert_eq!(fs::read(&again).unwrap(), fs::read(&archive).unwrap());
    }

    #[test]
    fn a_damaged_archive_has_its_files_or_is_an_error(files in bundle(), damages in vec(damage(), 30)) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("b.tar.gz");
        write_bundle_archive(&path, "m-1", &files).unwrap();
        let bytes = fs::read(&path).unwrap();
        for damage in damages {
            let damaged = damage.apply(&bytes);
            fs::write(&path, &damaged).unwrap();
            let Ok(read) = read(&path) else { continue };
            // the header of gzip has a time, a system and a flag for text; the last bits of a block mean nothing
            let is_flipped = matches!(damage, Damage::Flip(..)) || damaged == bytes;
            prop_assert!(is_flipped && read == files, "{:?}", damage);
        }
    }

    #[test]
    fn a_damaged_file_of_a_folder_is_an_error(files in bundle(), damages in vec((any::<Index>(), damage()), 30)) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("b");
        write_bundle_folder(&path, &files).unwrap();
        for (place, damage) in damages {
            let (name, bytes) = files.iter().nth(place.index(files.len())).unwrap();
            if bytes.is_empty() && !matches!(damage, Damage::Extend(_)) {
                continue;
            }
            let damaged = damage.apply(bytes);
            fs::write(path.join(name), &damaged).unwrap();
            let read = read(&path);
            if name == BUNDLE_MANIFEST {
                // another layout of the same JSON is the same manifest
                let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
                prop_assert!(read.is_err() || value(&damaged) == value(bytes), "{:?}", damage);
            } else {
                let message = read.unwrap_err().to_string();
                prop_assert!(message.contains(&format!("{name} has changed")), "{}", message);
            }
            fs::write(path.join(name), bytes).unwrap();
        }
        prop_assert_eq!(&read(&path)?, &files);
    }
}

/// A change of the entries of an archive.
#[derive(Clone, Debug)]
enum Change {
    /// The entries are in another order.
    Order(u64),
    /// An entry has another path.
    Path(Index, String),
    /// An entry is of another type.
    Type(Index, u8),
    /// An entry is left out.
    Remove(Index),
    /// An entry is there twice.
    Repeat(Index),
    /// There is one entry more.
    More(String, Vec<u8>),
    /// The header of an entry states another size.
    Size(Index, u64),
    /// One bit of the content of an entry is another.
    Content(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let path = || {
        prop_oneof![
            select(vec![
                "m-1/model.bin",
                "m-1/reference.json",
                "m-2/model.bin",
                "../model.bin",
                "/m-1/model.bin",
                "m-1",
                "m-1/",
                ""
            ])
            .prop_map(str::to_owned),
            "[a-zé./ ]{0,12}",
            "m-1/[a-z.]{0,90}",
        ]
    };
    let size = prop_oneof![0_u64..2000, any::<u64>(), Just((1 << 33) - 1)];
    prop_oneof![
        3 => any::<u64>().prop_map(Change::Order),
        2 => (any::<Index>(), path()).prop_map(|(at, path)| Change::Path(at, path)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, kind)| Change::Type(at, kind)),
        1 => any::<Index>().prop_map(Change::Remove),
        1 => any::<Index>().prop_map(Change::Repeat),
        1 => (path(), content()).prop_map(|(path, content)| Change::More(path, content)),
        1 => (any::<Index>(), size).prop_map(|(at, bytes)| Change::Size(at, bytes)),
        1 => any::<[Index; 2]>().prop_map(|[at, byte]| Change::Content(at, byte)),
    ]
}

/// An entry of a tar: path, type, stated size, content.
type Entry = (String, u8, u64, Vec<u8>);

fn entry(path: String, content: Vec<u8>) -> Entry {
    (path, b'0', content.len() as u64, content)
}

fn apply(change: &Change, entries: &mut Vec<Entry>) {
    let count = entries.len();
    match change {
        Change::Order(seed) => {
            entries.sort_by_key(|(path, ..)| Digest::of_bytes(format!("{seed}{path}").as_bytes()));
        }
        Change::Path(at, path) => entries[at.index(count)].0.clone_from(path),
        Change::Type(at, kind) => entries[at.index(count)].1 = *kind,
        Change::Remove(at) => {
            entries.remove(at.index(count));
        }
        Change::Repeat(at) => entries.push(entries[at.index(count)].clone()),
        Change::More(path, content) => entries.push(entry(path.clone(), content.clone())),
        Change::Size(at, bytes) => entries[at.index(count)].2 = *bytes,
        Change::Content(at, byte) => {
            let content = &mut entries[at.index(count)].3;
            if !content.is_empty() {
                let byte = byte.index(content.len());
                content[byte] ^= 1;
            }
        }
    }
}

/// The bytes of an archive, written without the checks of the `tar` crate.
fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for (path, kind, bytes, content) in entries {
        let mut header = tar::Header::new_gnu();
        let end = path.floor_char_boundary(100);
        header.as_gnu_mut().unwrap().name[..end].copy_from_slice(&path.as_bytes()[..end]);
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_size(*bytes);
        header.set_cksum();
        gzip.write_all(header.as_bytes()).unwrap();
        gzip.write_all(content).unwrap();
        gzip.write_all(&vec![0; content.len().next_multiple_of(512) - content.len()]).unwrap();
    }
    gzip.write_all(&[0; 1024]).unwrap();
    gzip.finish().unwrap()
}

proptest! {
    #![proptest_config(property_config::property_config(250))]

    #[test]
    fn an_archive_of_any_entries_has_the_files_of_its_manifest(files in bundle(), changes in vec(change(), 0..3)) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("b.tar.gz");
        let mut entries: Vec<Entry> =
            files.iter().map(|(name, content)| entry(format!("m-1/{name}"), content.clone())).collect();
        changes.iter().for_each(|change| if !entries.is_empty() { apply(change, &mut entries) });
        fs::write(&path, pack(&entries)).unwrap();
        let is_reordered = changes.iter().all(|change| matches!(change, Change::Order(_)));
        match read(&path) {
            Ok(read) => prop_assert_eq!(&read, &files),
            Err(error) => prop_assert!(!is_reordered, "{}", error),
        }
    }
}
