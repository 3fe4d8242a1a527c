//! The manifest of a bundle, `manifest.json`: files, lineage, gates, and the content id of all that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bundle_limits::{BUNDLE_MANIFEST, BundleFiles, bundle_file_limit, check_size},
    digest::Digest,
    file_entry::FileEntry,
};

/// The version of [`BundleManifest`]. In version 1 the content id covered the files only; name, schema, lineage and gates could be edited.
const BUNDLE_VERSION: u32 = 2;
/// The field that the content id does not cover: itself.
const CONTENT_ID: &str = "content_id";
/// The file whose digest the lineage contains.
const MODEL_FILE: &str = "model.bin";
/// Number of hexadecimal digits of a content id.
pub(crate) const CONTENT_ID_DIGITS: usize = 12;

/// A stage from the raw table to the model.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LineageStep {
    /// Name of the stage.
    pub stage: String,
    /// Version of the program.
    pub version: String,
    /// Input files by name.
    pub inputs: Vec<NamedDigest>,
    /// Output files by name.
    pub outputs: Vec<NamedDigest>,
    /// Row counts by name.
    pub rows: BTreeMap<String, u64>,
}

/// A file by its name without a folder, because folders differ between machines.
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

/// The result of a gate of `package`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gate {
    /// Name of the gate: `thresholds`, `champion`, `coverage`, `leakage` or `schema`.
    pub gate: String,
    /// Outcome of the gate.
    pub answer: GateOutcome,
    /// The metrics behind the outcome, as a sentence.
    #[serde(rename = "figure")]
    pub finding: String,
    /// The reason why a failed gate was waived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The outcome of a gate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// The gate passed.
    Passed,
    /// The gate does not apply.
    NotApplicable,
    /// The gate failed and was waived with a reason.
    #[serde(rename = "allowed")]
    Waived,
    /// The gate failed.
    #[serde(rename = "refused")]
    Failed,
}

/// `manifest.json` of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct BundleManifest {
    /// Version of the format.
    pub format_version: u32,
    /// Name of the model.
    pub name: String,
    /// Twelve hexadecimal digits of a digest of the manifest without this field; the manifest has the digests of all files. Before version
    /// 2, the digest covered the files only.
    pub content_id: String,
    /// Fingerprint of the raw table's schema.
    pub schema: String,
    /// Stages of the lineage; that of the model is first.
    pub lineage: Vec<LineageStep>,
    /// Results of the gates; empty in bundles of older programs.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// All other files: name, digest, size.
    pub files: Vec<FileEntry>,
}

/// Digest and size of each file by name; `None` for a file that bundles do not have.
pub(crate) type Inventory = BTreeMap<String, Option<(Digest, u64)>>;

impl BundleManifest {
    /// The manifest in the files of a bundle, validated against them.
    ///
    /// # Errors
    /// If a file is invalid; the message names it.
    pub fn from_files(files: &BundleFiles) -> Result<Self, String> {
        let digests = |(name, bytes): (&String, &Vec<u8>)| {
            let known = bundle_file_limit(name).map(|_| (Digest::of_bytes(bytes), bytes.len() as u64));
            (name.clone(), known)
        };
        Self::read(files.get(BUNDLE_MANIFEST).map(Vec::as_slice), &files.iter().map(digests).collect())
    }

    /// A new manifest of `files`.
    pub fn new(name: &str, schema: &str, lineage: Vec<LineageStep>, gates: Vec<Gate>, files: &BundleFiles) -> Self {
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
        manifest.content_id = shorten(&digest_of(&serde_json::to_value(&manifest).unwrap_or_default()));
        manifest
    }

    /// Name of the bundle's folder.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.name, self.content_id)
    }

    /// True for bundles of older programs, whose content id does not cover name, schema, lineage and gates.
    pub fn is_older(&self) -> bool {
        self.format_version < BUNDLE_VERSION
    }

    /// Parses a manifest and validates it against the files.
    ///
    /// # Errors
    /// If a file is invalid; the message names it.
    pub(crate) fn read(text: Option<&[u8]>, inventory: &Inventory) -> Result<Self, String> {
        let text = text.ok_or_else(|| format!("{BUNDLE_MANIFEST} is missing"))?;
        let unreadable = |error: serde_json::Error| format!("{BUNDLE_MANIFEST} is not valid: {error}");
        let manifest: Self = serde_json::from_slice(text).map_err(unreadable)?;
        let version = manifest.format_version;
        if !(1..=BUNDLE_VERSION).contains(&version) {
            return Err(format!(
                "the bundle has format version {version}; this program reads version {BUNDLE_VERSION} and older. Use a newer program"
            ));
        }
        manifest.check_files(inventory)?;
        let expected = if manifest.is_older() {
            shorten(&digest_of_list(&manifest.files))
        } else {
            // from the text and not from the parsed fields, so that unknown fields count, too
            shorten(&digest_of(&serde_json::from_slice(text).map_err(unreadable)?))
        };
        if manifest.content_id != expected {
            let source = if manifest.is_older() { "the files give" } else { "the manifest gives" };
            return Err(format!("the content id is {}, but {source} {expected}", manifest.content_id));
        }
        Ok(manifest)
    }

    /// Checks that the files are exactly those of the manifest.
    fn check_files(&self, inventory: &Inventory) -> Result<(), String> {
        let mut listed = BTreeMap::new();
        let mut total = 0;
        for entry in &self.files {
            let name = entry.path.to_string_lossy().into_owned();
            check_size(&name, entry.bytes, &mut total)?;
            if listed.insert(name.clone(), entry).is_some() {
                return Err(format!("{name} is listed twice in {BUNDLE_MANIFEST}"));
            }
        }
        for (name, known) in inventory.iter().filter(|(name, _)| *name != BUNDLE_MANIFEST) {
            if !listed.contains_key(name) {
                return Err(format!("{name} is not listed in {BUNDLE_MANIFEST}"));
            }
            if known.is_none() {
                return Err(format!("{name} is not a file of a bundle"));
            }
        }
        for (name, entry) in listed {
            let Some(Some((digest, bytes))) = inventory.get(&name) else { return Err(format!("{name} is missing")) };
            if *digest != entry.digest {
                return Err(format!("{name} has changed (digest {digest}; {BUNDLE_MANIFEST} says {})", entry.digest));
            }
            if *bytes != entry.bytes {
                return Err(format!("{name} has {bytes} bytes; {BUNDLE_MANIFEST} says {}", entry.bytes));
            }
            // the first stage of the lineage wrote the model
            let written = self.lineage.first().and_then(|link| link.outputs.iter().find(|output| output.name == name));
            if let Some(source) = written.filter(|source| name == MODEL_FILE && source.digest != *digest) {
                return Err(format!("{name} has the digest {digest}; its lineage says {}", source.digest));
            }
        }
        Ok(())
    }
}

/// Digest of a manifest without its content id, as JSON without spaces and with sorted keys.
fn digest_of(manifest: &Value) -> Digest {
    let mut manifest = manifest.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove(CONTENT_ID);
    }
    Digest::of_json(&manifest)
}

/// Digest of version 1: one line per file, with its digest and name.
fn digest_of_list(files: &[FileEntry]) -> Digest {
    let list: String = files.iter().map(|entry| format!("{}  {}\n", entry.digest.hex(), entry.path.display())).collect();
    Digest::of_bytes(list.as_bytes())
}

fn shorten(digest: &Digest) -> String {
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
        let link = LineageStep { stage: "train".into(), version: "1".into(), inputs: Vec::new(), outputs, rows };
        let gate = Gate {
            gate: "leakage".into(),
            answer: GateOutcome::Passed,
            finding: "R² 0.2".into(),
            reason: Some("so".into()),
        };
        let manifest = BundleManifest::new("m", "s", vec![link], vec![gate], &files);
        files.insert(BUNDLE_MANIFEST.into(), serde_json::to_vec_pretty(&manifest).unwrap());
        files
    }

    /// The error for a bundle with an edited manifest.
    fn error_after(edit: impl FnOnce(&mut Value)) -> String {
        let mut files = bundle();
        let mut manifest: Value = serde_json::from_slice(&files[BUNDLE_MANIFEST]).unwrap();
        edit(&mut manifest);
        files.insert(BUNDLE_MANIFEST.into(), manifest.to_string().into_bytes());
        BundleManifest::from_files(&files).unwrap_err()
    }

    #[test]
    fn the_content_id_covers_all_fields() {
        let valid = BundleManifest::from_files(&bundle()).unwrap();
        assert!(!valid.is_older() && valid.content_id.len() == CONTENT_ID_DIGITS);
        // another layout of the same JSON is valid, too
        let mut files = bundle();
        let value: Value = serde_json::from_slice(&files[BUNDLE_MANIFEST]).unwrap();
        files.insert(BUNDLE_MANIFEST.into(), value.to_string().into_bytes());
        assert_eq!(BundleManifest::from_files(&files).unwrap(), valid);

        for pointer in [
            "/name",
            "/schema",
            "/lineage/0/stage",
            "/lineage/0/version",
            "/gates/0/gate",
            "/gates/0/figure",
            "/gates/0/reason",
        ] {
            let error = error_after(|manifest| *manifest.pointer_mut(pointer).unwrap() = "edited".into());
            assert!(
                error.starts_with(&format!("the content id is {}, but the manifest gives ", valid.content_id)),
                "{error}"
            );
        }
        let unknown = error_after(|manifest| manifest["unknown"] = 1.into());
        assert!(unknown.contains("but the manifest gives"), "{unknown}");
        assert!(error_after(|manifest| manifest["gates"] = Value::Array(Vec::new())).contains("but the manifest gives"));
        assert!(
            error_after(|manifest| manifest["lineage"][0]["rows"]["train"] = 4.into()).contains("but the manifest gives")
        );
        assert!(
            error_after(|manifest| manifest["gates"][0]["answer"] = "allowed".into()).contains("but the manifest gives")
        );
    }

    #[test]
    fn files_are_compared_with_the_manifest() {
        let error = error_after(|manifest| manifest["files"][0]["bytes"] = 3.into());
        assert_eq!(error, "metrics.json has 2 bytes; manifest.json says 3");
        let error = error_after(|manifest| manifest["files"][1]["bytes"] = u64::MAX.into());
        assert_eq!(error, "model.bin has 18446744073709551615 bytes; at most 1073741824 are allowed");
        let error = error_after(|manifest| manifest["lineage"][0]["outputs"][0]["digest"] = "sha256:00".into());
        assert!(error.ends_with("its lineage says sha256:00"), "{error}");
        let error = error_after(|manifest| manifest["files"][1] = manifest["files"][0].clone());
        assert_eq!(error, "metrics.json is listed twice in manifest.json");
        let error = error_after(|manifest| manifest["format_version"] = 3.into());
        assert_eq!(error, "the bundle has format version 3; this program reads version 2 and older. Use a newer program");
        // in version 1 the content id has another definition
        assert!(error_after(|manifest| manifest["format_version"] = 1.into()).contains("but the files give"));
        assert!(error_after(|manifest| manifest["format_version"] = 0.into()).contains("format version 0"));
        let mut files = bundle();
        files.insert("extra.txt".into(), Vec::new());
        assert_eq!(BundleManifest::from_files(&files).unwrap_err(), "extra.txt is not listed in manifest.json");
        let named = error_after(|manifest| {
            let mut entry = manifest["files"][0].clone();
            entry["path"] = "extra.txt".into();
            manifest["files"].as_array_mut().unwrap().push(entry);
        });
        assert_eq!(named, "extra.txt is missing");
    }
}
