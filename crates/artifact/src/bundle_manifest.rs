//! `manifest.json` of a bundle: what is in it, how it came about, and the content id that stands for all of that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bundle_limits::{BUNDLE_MANIFEST, BundleFiles, bundle_file_limit, check_size},
    digest::Digest,
    file_entry::FileEntry,
};

/// The version of [`BundleManifest`]. In version 1 the content id stood for the files alone: name, schema, lineage and gates could be edited.
const BUNDLE_VERSION: u32 = 2;
/// The field that cannot stand for itself.
const CONTENT_ID: &str = "content_id";
/// The file that the lineage names by its digest.
const MODEL: &str = "model.bin";
/// Hexadecimal digits of a content id.
pub(crate) const CONTENT_ID_DIGITS: usize = 12;

/// A stage on the way from the raw table to the model.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Link {
    /// The stage.
    pub stage: String,
    /// Its version.
    pub version: String,
    /// The files it read, by name.
    pub inputs: Vec<NamedDigest>,
    /// The files it wrote, by name.
    pub outputs: Vec<NamedDigest>,
    /// Row counts by name.
    pub rows: BTreeMap<String, u64>,
}

/// A file by its name alone: folders differ from machine to machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NamedDigest {
    /// The file's name.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

impl From<&FileEntry> for NamedDigest {
    fn from(entry: &FileEntry) -> Self {
        let name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, digest: entry.digest.clone() }
    }
}

/// A gate on the way into a bundle.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gate {
    /// Its name: `thresholds`, `champion`, `coverage`, `leakage` or `schema`.
    pub gate: String,
    /// Whether it was passed.
    pub answer: GateAnswer,
    /// The figures that it was decided by, in words.
    pub figure: String,
    /// Why it was let pass all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What came of a gate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateAnswer {
    /// It was passed.
    Passed,
    /// There was nothing to decide by.
    NotApplicable,
    /// It was missed, and someone said why that is to be borne.
    Allowed,
    /// It was missed.
    Refused,
}

/// `manifest.json` of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BundleManifest {
    /// The format's version.
    pub format_version: u32,
    /// The model's name.
    pub name: String,
    /// Twelve hexadecimal digits that stand for the manifest without this field, and by the digests in it for every file. Before version 2
    /// they stood for the files alone.
    pub content_id: String,
    /// The fingerprint of the raw table's schema.
    pub schema: String,
    /// The stages, model first.
    pub lineage: Vec<Link>,
    /// The gates that it passed; bundles of older programs list none.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Every other file: name, digest, size.
    pub files: Vec<FileEntry>,
}

/// The digest and the size of each file that was found, by name; none of a file that no bundle has.
pub(crate) type Inventory = BTreeMap<String, Option<(Digest, u64)>>;

impl BundleManifest {
    /// The manifest among the files of a bundle, checked against them.
    ///
    /// # Errors
    /// Names the file at fault.
    pub fn of(files: &BundleFiles) -> Result<Self, String> {
        let found = |(name, bytes): (&String, &Vec<u8>)| {
            let known = bundle_file_limit(name).map(|_| (Digest::of_bytes(bytes), bytes.len() as u64));
            (name.clone(), known)
        };
        Self::read(files.get(BUNDLE_MANIFEST).map(Vec::as_slice), &files.iter().map(found).collect())
    }

    /// The manifest of `files`.
    pub fn new(name: &str, schema: &str, lineage: Vec<Link>, gates: Vec<Gate>, files: &BundleFiles) -> Self {
        let entry = |(name, bytes): (&String, &Vec<u8>)| FileEntry {
            path: name.into(),
            digest: Digest::of_bytes(bytes),
            bytes: bytes.len() as u64,
        };
        let files: Vec<FileEntry> = files.iter().map(entry).collect();
        let content_id = String::new();
        let mut manifest = Self {
            format_version: BUNDLE_VERSION,
            name: name.into(),
            content_id,
            schema: schema.into(),
            lineage,
            gates,
            files,
        };
        manifest.content_id = short(&digest_of(&serde_json::to_value(&manifest).unwrap_or_default()));
        manifest
    }

    /// The bundle's folder name.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.name, self.content_id)
    }

    /// Whether an older program wrote it, whose content id does not stand for name, schema, lineage and gates.
    pub fn is_older(&self) -> bool {
        self.format_version < BUNDLE_VERSION
    }

    /// Reads the text of a manifest and checks it against the files that were found.
    ///
    /// # Errors
    /// Names the file at fault.
    pub(crate) fn read(text: Option<&[u8]>, found: &Inventory) -> Result<Self, String> {
        let text = text.ok_or_else(|| format!("{BUNDLE_MANIFEST} is missing"))?;
        let unreadable = |error: serde_json::Error| format!("{BUNDLE_MANIFEST} cannot be read: {error}");
        let manifest: Self = serde_json::from_slice(text).map_err(unreadable)?;
        let version = manifest.format_version;
        if !(1..=BUNDLE_VERSION).contains(&version) {
            return Err(format!(
                "the bundle has format version {version}; this program reads version {BUNDLE_VERSION} and older. Use a newer program"
            ));
        }
        manifest.check_files(found)?;
        let expected = if manifest.is_older() {
            short(&digest_of_list(&manifest.files))
        } else {
            // of the text, not of what was understood of it: a field that this program does not know counts, too
            short(&digest_of(&serde_json::from_slice(text).map_err(unreadable)?))
        };
        if manifest.content_id != expected {
            let made = if manifest.is_older() { "the files make" } else { "the manifest makes" };
            return Err(format!("the content id is {}, but {made} {expected}", manifest.content_id));
        }
        Ok(manifest)
    }

    /// Checks that the files that were found are those listed, and nothing else.
    fn check_files(&self, found: &Inventory) -> Result<(), String> {
        let mut listed = BTreeMap::new();
        let mut total = 0;
        for entry in &self.files {
            let name = entry.path.to_string_lossy().into_owned();
            check_size(&name, entry.bytes, &mut total)?;
            if listed.insert(name.clone(), entry).is_some() {
                return Err(format!("{name} is listed twice in {BUNDLE_MANIFEST}"));
            }
        }
        for (name, known) in found.iter().filter(|(name, _)| *name != BUNDLE_MANIFEST) {
            if !listed.contains_key(name) {
                return Err(format!("{name} is not listed in {BUNDLE_MANIFEST}"));
            }
            if known.is_none() {
                return Err(format!("{name} is no file of a bundle"));
            }
        }
        for (name, entry) in listed {
            let Some(Some((digest, bytes))) = found.get(&name) else { return Err(format!("{name} is missing")) };
            if *digest != entry.digest {
                return Err(format!(
                    "{name} has another content (digest {digest}, {BUNDLE_MANIFEST} says {})",
                    entry.digest
                ));
            }
            if *bytes != entry.bytes {
                return Err(format!("{name} has {bytes} bytes, {BUNDLE_MANIFEST} says {}", entry.bytes));
            }
            // the last stage wrote the model that is packed
            let written = self.lineage.first().and_then(|link| link.outputs.iter().find(|output| output.name == name));
            if let Some(made) = written.filter(|made| name == MODEL && made.digest != *digest) {
                return Err(format!("{name} has the digest {digest}, its lineage says {}", made.digest));
            }
        }
        Ok(())
    }
}

/// The digest of a manifest without its content id, as JSON without spaces and with sorted keys.
fn digest_of(manifest: &Value) -> Digest {
    let mut manifest = manifest.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove(CONTENT_ID);
    }
    Digest::of_json(&manifest)
}

/// What a content id was made of before version 2: a line a file, its digest and its name.
fn digest_of_list(files: &[FileEntry]) -> Digest {
    let list: String = files.iter().map(|entry| format!("{}  {}\n", entry.digest.hex(), entry.path.display())).collect();
    Digest::of_bytes(list.as_bytes())
}

fn short(digest: &Digest) -> String {
    digest.hex()[..CONTENT_ID_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> BundleFiles {
        let mut files =
            BundleFiles::from([("model.bin".into(), b"model".to_vec()), ("metrics.json".into(), b"{}".to_vec())]);
        let outputs = vec![NamedDigest { name: "model.bin".into(), digest: Digest::of_bytes(b"model") }];
        let rows = BTreeMap::from([("train".to_owned(), 3)]);
        let link = Link { stage: "train".into(), version: "1".into(), inputs: Vec::new(), outputs, rows };
        let gate =
            Gate { gate: "leakage".into(), answer: GateAnswer::Passed, figure: "R² 0.2".into(), reason: Some("so".into()) };
        let manifest = BundleManifest::new("m", "s", vec![link], vec![gate], &files);
        files.insert(BUNDLE_MANIFEST.into(), serde_json::to_vec_pretty(&manifest).unwrap());
        files
    }

    /// The fault of a bundle whose manifest was edited.
    fn edited(edit: impl FnOnce(&mut Value)) -> String {
        let mut files = bundle();
        let mut manifest: Value = serde_json::from_slice(&files[BUNDLE_MANIFEST]).unwrap();
        edit(&mut manifest);
        files.insert(BUNDLE_MANIFEST.into(), manifest.to_string().into_bytes());
        BundleManifest::of(&files).unwrap_err()
    }

    #[test]
    fn every_field_of_a_manifest_counts() {
        let sound = BundleManifest::of(&bundle()).unwrap();
        assert!(!sound.is_older() && sound.content_id.len() == CONTENT_ID_DIGITS);
        // written in another way it says the same
        let mut files = bundle();
        let value: Value = serde_json::from_slice(&files[BUNDLE_MANIFEST]).unwrap();
        files.insert(BUNDLE_MANIFEST.into(), value.to_string().into_bytes());
        assert_eq!(BundleManifest::of(&files).unwrap(), sound);

        for pointer in [
            "/name",
            "/schema",
            "/lineage/0/stage",
            "/lineage/0/version",
            "/gates/0/gate",
            "/gates/0/figure",
            "/gates/0/reason",
        ] {
            let fault = edited(|manifest| *manifest.pointer_mut(pointer).unwrap() = "edited".into());
            assert!(
                fault.starts_with(&format!("the content id is {}, but the manifest makes ", sound.content_id)),
                "{fault}"
            );
        }
        let unknown = edited(|manifest| manifest["unknown"] = 1.into());
        assert!(unknown.contains("but the manifest makes"), "{unknown}");
        assert!(edited(|manifest| manifest["gates"] = Value::Array(Vec::new())).contains("but the manifest makes"));
        assert!(edited(|manifest| manifest["lineage"][0]["rows"]["train"] = 4.into()).contains("but the manifest makes"));
        assert!(edited(|manifest| manifest["gates"][0]["answer"] = "allowed".into()).contains("but the manifest makes"));
    }

    #[test]
    fn what_a_manifest_says_of_files_is_compared_with_them() {
        let fault = edited(|manifest| manifest["files"][0]["bytes"] = 3.into());
        assert_eq!(fault, "metrics.json has 2 bytes, manifest.json says 3");
        let fault = edited(|manifest| manifest["files"][1]["bytes"] = u64::MAX.into());
        assert_eq!(fault, "model.bin has 18446744073709551615 bytes; in a bundle it has at most 1073741824");
        let fault = edited(|manifest| manifest["lineage"][0]["outputs"][0]["digest"] = "sha256:00".into());
        assert!(fault.ends_with("its lineage says sha256:00"), "{fault}");
        let fault = edited(|manifest| manifest["files"][1] = manifest["files"][0].clone());
        assert_eq!(fault, "metrics.json is listed twice in manifest.json");
        let fault = edited(|manifest| manifest["format_version"] = 3.into());
        assert_eq!(fault, "the bundle has format version 3; this program reads version 2 and older. Use a newer program");
        // one version back the content id is another
        assert!(edited(|manifest| manifest["format_version"] = 1.into()).contains("but the files make"));
        assert!(edited(|manifest| manifest["format_version"] = 0.into()).contains("format version 0"));
        let mut files = bundle();
        files.insert("extra.txt".into(), Vec::new());
        assert_eq!(BundleManifest::of(&files).unwrap_err(), "extra.txt is not listed in manifest.json");
        let named = edited(|manifest| {
            let mut entry = manifest["files"][0].clone();
            entry["path"] = "extra.txt".into();
            manifest["files"].as_array_mut().unwrap().push(entry);
        });
        assert_eq!(named, "extra.txt is missing");
    }
}
