//! Verifies a bundle or an image (`package verify`).

use std::{
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use artifact::{
    BundleEntries, BundleFiles, BundleManifest, FileEntry, Manifest, PackedLimits, bundle_file_limit, visit_packed,
};
use cli::{Outcome, Refused};
use model_source::bundle;
use oci_spec::image::{Descriptor, ImageConfiguration};
use predictor::open_bundle;
use serde::Serialize;

use crate::{
    image::{
        build::{MODEL_FOLDER, TITLE_LABEL, VERSION_LABEL},
        layout::{ImageLayout, is_layout},
    },
    signature::{
        key::PublicKey,
        simple_signing::{SignatureForm, check_file, check_layout},
    },
};

/// Limits of an image layer: the server with a few files, or a bundle.
const LAYER_LIMITS: PackedLimits = PackedLimits { entries: 100, bytes: 2 << 30 };
/// The note about a bundle whose content id does not cover its manifest.
const OLD_BUNDLE_NOTE: &str = "old format (version 0.1.0): its content id covers its files, but not the name, schema, lineage and gates in \
                     its manifest";

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    path: &'a Path,
    name: &'a str,
    content_id: &'a str,
    files: usize,
    /// The digest of an image.
    digest: Option<String>,
    platforms: Vec<String>,
    /// Whether the signature was verified with a key.
    signed: bool,
    /// The verified forms of signature.
    signatures: Vec<SignatureForm>,
    /// The format version of the bundle.
    format_version: u32,
    /// Whether the content id covers name, schema, lineage and gates, too.
    manifest_covered: bool,
}

/// Checks a bundle (folder or archive) or the layout of an image, and with a key its signature.
///
/// # Errors
/// If it is absent or the key cannot be used; [`Refused`] if it is damaged, altered, not signed with the key, or its parts do not belong
/// together.
pub fn verify(path: &Path, key: Option<&str>) -> anyhow::Result<Outcome> {
    let key = key.map(PublicKey::open).transpose()?;
    if is_layout(path) { verify_image(path, key.as_ref()) } else { verify_bundle(path, key.as_ref()) }
}

fn verify_bundle(path: &Path, key: Option<&PublicKey>) -> anyhow::Result<Outcome> {
    let invalid = |error: String| bundle::invalid(path, &error);
    anyhow::ensure!(
        key.is_none() || !path.is_dir(),
        "--key: a bundle is signed as .tar.gz, and {} is a folder",
        path.display()
    );
    let files = bundle::read(path)?;
    let forms = key.map(|key| check_file(path, key)).transpose().map_err(invalid)?.unwrap_or_default();
    let (manifest, _) = bundle::open(path, &files)?;
    check_beside(path).map_err(invalid)?;
    let human = format!(
        "verify    valid: {} {}, {} files, all digests match; model and preprocessor belong together{}{}",
        manifest.name,
        manifest.content_id,
        manifest.files.len(),
        signature_note(&forms),
        old_bundle_note(&manifest)
    );
    Ok(Outcome::done(&summary(path, &manifest, forms, None, Vec::new()), human))
}

fn verify_image(path: &Path, key: Option<&PublicKey>) -> anyhow::Result<Outcome> {
    let invalid = |error: String| Refused(format!("{}: is not a valid image: {error}", path.display()));
    let layout = ImageLayout::read(path).map_err(|error| invalid(format!("{error:#}")))?;
    let (manifest, platforms) = check_image(&layout).map_err(|error| invalid(format!("{error:#}")))?;
    let forms = key.map(|key| check_layout(&layout, key)).transpose().map_err(invalid)?.unwrap_or_default();
    let digest = layout.image()?.digest().to_string();
    let human = format!(
        "verify    valid: {digest} for {} with {} {}, all digests match; model and preprocessor belong together{}{}",
        platforms.join(" and "),
        manifest.name,
        manifest.content_id,
        signature_note(&forms),
        old_bundle_note(&manifest)
    );
    Ok(Outcome::done(&summary(path, &manifest, forms, Some(digest), platforms), human))
}

fn signature_note(forms: &[SignatureForm]) -> String {
    let names: Vec<&str> = forms.iter().map(|form| form.name()).collect();
    if names.is_empty() { String::new() } else { format!("; signed by the key ({})", names.join(" and ")) }
}

fn old_bundle_note(manifest: &BundleManifest) -> String {
    if manifest.is_older() { format!("\n          {OLD_BUNDLE_NOTE}") } else { String::new() }
}

/// Checks the files that the manifest beside an archive lists, as far as they exist.
fn check_beside(bundle: &Path) -> Result<(), String> {
    let mut archive = bundle.components().collect::<PathBuf>().into_os_string();
    if bundle.is_dir() {
        archive.push(".tar.gz");
    }
    let Some(manifest) = Manifest::read_beside(Path::new(&archive)).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    for output in &manifest.outputs {
        // only files of this folder: the manifest is no more trusted than the bundle
        let path = Path::new(&archive).with_file_name(output.path.file_name().unwrap_or_default());
        if !std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let digest = FileEntry::from_file(&path).map_err(|error| error.to_string())?.digest;
        if digest != output.digest {
            return Err(format!(
                "{} beside it is not the file that `package` wrote (digest {digest}, it wrote {})",
                path.display(),
                output.digest
            ));
        }
    }
    Ok(())
}

fn summary<'a>(
    path: &'a Path,
    manifest: &'a BundleManifest,
    signatures: Vec<SignatureForm>,
    digest: Option<String>,
    platforms: Vec<String>,
) -> Summary<'a> {
    Summary {
        status: "sound",
        path,
        name: &manifest.name,
        content_id: &manifest.content_id,
        files: manifest.files.len(),
        digest,
        platforms,
        signed: !signatures.is_empty(),
        signatures,
        format_version: manifest.format_version,
        manifest_covered: !manifest.is_older(),
    }
}

/// Checks that the image of every platform has the layers that it names, with the same valid bundle.
fn check_image(layout: &ImageLayout) -> anyhow::Result<(BundleManifest, Vec<String>)> {
    let mut common: Option<BundleManifest> = None;
    let mut platforms = Vec::new();
    for (_, manifest) in layout.manifests()? {
        let config = ImageConfiguration::from_reader(layout.document(manifest.config())?)?;
        let ids = config.rootfs().diff_ids();
        anyhow::ensure!(ids.len() == manifest.layers().len(), "its configuration names other layers than its manifest");
        let (mut files, mut entries) = (BundleFiles::new(), BundleEntries::default());
        for (layer, id) in manifest.layers().iter().zip(ids) {
            read_layer(layout, layer, id, &mut entries, &mut files)?;
        }
        let (bundle, _) = open_bundle(&files).map_err(anyhow::Error::msg)?;
        check_labels(&config, &bundle)?;
        anyhow::ensure!(common.as_ref().is_none_or(|common| *common == bundle), "its platforms have different models");
        common = Some(bundle);
        platforms.push(format!("{}/{}", config.os(), config.architecture()));
    }
    common.map(|bundle| (bundle, platforms)).ok_or_else(|| anyhow::anyhow!("the image index lists no platform"))
}

/// Checks that the labels of an image name its bundle.
fn check_labels(config: &ImageConfiguration, bundle: &BundleManifest) -> anyhow::Result<()> {
    let labels = config.config().as_ref().and_then(|config| config.labels().clone()).unwrap_or_default();
    for (label, expected) in [(TITLE_LABEL, &bundle.name), (VERSION_LABEL, &bundle.content_id)] {
        let actual = labels.get(label);
        anyhow::ensure!(
            actual == Some(expected),
            "its label {label} is {}, and the bundle in it has {expected}",
            actual.map_or("missing", String::as_str)
        );
    }
    Ok(())
}

/// Unpacks a layer, checks its digest, and collects the files of the bundle.
fn read_layer(
    layout: &ImageLayout,
    layer: &Descriptor,
    id: &str,
    entries: &mut BundleEntries,
    files: &mut BundleFiles,
) -> anyhow::Result<()> {
    let digest = visit_packed(layout.blob(layer)?, LAYER_LIMITS, &mut |entry, content| {
        let mut parts = entry.path.components();
        if parts.next() != Some(Component::Normal(MODEL_FOLDER.as_ref())) || entry.is_folder {
            return Ok(());
        }
        let name = entries.add(parts.as_path(), entry)?;
        let mut bytes = Vec::new();
        // for a file that no bundle has, the name is enough
        let limit = bundle_file_limit(&name).unwrap_or(0);
        content.take(limit).read_to_end(&mut bytes)?;
        if limit > 0 && bytes.len() as u64 != entry.bytes {
            return Err(io::Error::other(format!("{name} is truncated")));
        }
        files.insert(name, bytes);
        Ok(())
    });
    let digest = digest.map_err(|error| anyhow::anyhow!("layer {}: {error}", layer.digest()))?.to_string();
    anyhow::ensure!(digest == id, "layer {} unpacks to {digest}, but its configuration names {id}", layer.digest());
    Ok(())
}

#[cfg(test)]
mod tests {
    use artifact::{decode_envelope, encode_envelope, read_envelope_bytes, read_envelope_bytes_or_older};
    use features::{Fitter, PREPROCESSOR, Plan, Preprocessor, PreprocessorFile};
    use model::{Explainer, Linear, MODEL, Matrix, Model, ModelFile, ModelFileV1, Regressor, TargetTransform};
    use predictor::Predictor;
    use schema::{Categories, PipelineConfig, Schema, Table, Values};

    use super::*;

    fn table() -> Table {
        let mut table = Table::new(3);
        table.push("size", Values::Number(vec![1.0, 2.0, f64::NAN]));
        table.push("place", Values::Category(Categories { codes: vec![0, 1, 0], levels: vec!["a".into(), "b".into()] }));
        table
    }

    fn preprocessor() -> Preprocessor {
        let text = "table: {target: price, columns: {price: {type: float}, size: {type: float}, place: {type: category}}}\n\
                    engineer: {derive: {double: size * 2}, unknown_category: other}\n";
        let config = PipelineConfig::parse(text).unwrap();
        let plan = Plan::from_section(&Schema::from_section(&config.table).unwrap(), &config.engineer).unwrap();
        let mut fitter = Fitter::new(&plan);
        fitter.update(&table(), &[true; 3]);
        fitter.finish().unwrap()
    }

    fn model_file(features: &[String]) -> ModelFile {
        ModelFile {
            name: "m".into(),
            algorithm: "Ridge".into(),
            target: "price".into(),
            target_transform: TargetTransform::None,
            features: features.to_vec(),
            preprocessor: "0".repeat(64),
            schema: "s".into(),
            seed: 1,
            train_rows: 3,
            regressor: Regressor::Linear(Linear { intercept: 1.0, coefficients: vec![2.0; features.len()] }),
            means: vec![0.5; features.len()],
            interval: None,
        }
    }

    /// Opens and uses a sealed preprocessor or model. The result does not matter, but nothing may panic.
    fn use_preprocessor(bytes: &[u8]) -> Result<(), String> {
        let file: PreprocessorFile =
            read_envelope_bytes(bytes, Path::new("p.bin"), PREPROCESSOR.into()).map_err(|error| error.to_string())?;
        let preprocessor = Preprocessor::from_file(file).map_err(|error| error.to_string())?;
        let features = preprocessor.transform(&table()).map_err(|error| error.to_string())?;
        assert_eq!(features.len(), preprocessor.feature_names().len());
        Ok(())
    }

    fn use_model(bytes: &[u8]) -> Result<(), String> {
        let file: ModelFile =
            read_envelope_bytes(bytes, Path::new("m.bin"), MODEL.into()).map_err(|error| error.to_string())?;
        let model = Model::from_file(file).map_err(|error| error.to_string())?;
        let columns = vec![vec![1.0, 2.0]; model.file().features.len()];
        if !columns.is_empty() {
            assert_eq!(model.predict(&Matrix::new(columns)).len(), 2);
        }
        Ok(())
    }

    fn check_every_byte(sealed: &[u8], kind: (&'static str, u32), open: fn(&[u8]) -> Result<(), String>) {
        open(sealed).unwrap();
        for place in 0..sealed.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = sealed.to_vec();
                broken[place] ^= flip;
                assert!(open(&broken).is_err(), "byte {place} flipped by {flip:#x} went unnoticed");
            }
            assert!(open(&sealed[..place]).is_err(), "cut at {place} went unnoticed");
        }
        // an attacker seals the file again: it may be rejected or used, but nothing may panic
        let payload = decode_envelope(sealed, Path::new("x"), kind.into()).unwrap().to_vec();
        for place in 0..payload.len() {
            for value in [0, 1, 2, 0x7f, 0xfb, 0xfc, 0xfd, 0xff] {
                let mut crafted = payload.clone();
                crafted[place] = value;
                let _ = open(&seal(&crafted, kind));
            }
        }
    }

    /// An envelope around bytes that are no valid payload.
    fn seal(payload: &[u8], kind: (&'static str, u32)) -> Vec<u8> {
        use sha2::{Digest as _, Sha256};
        // a unit payload gives the header; its length is then that of the crafted one
        let mut bytes = encode_envelope(kind.into(), &()).unwrap()[..36].to_vec();
        bytes[28..36].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes.extend(payload);
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        bytes
    }

    /// Files of format version 1, written by version 0.1.0 from 300 generated houses, must stay readable.
    #[test]
    fn files_of_version_1_predict_what_they_did() {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let golden = |name: &str| std::fs::read(Path::new(&here).join("golden").join(name)).unwrap();
        let (model_bytes, preprocessor_bytes) = (golden("model_v1.bin"), golden("preprocessor_v1.bin"));
        let (m, p) = (Path::new("m"), Path::new("p"));
        let predictor = Predictor::from_bytes((m, &model_bytes), (p, &preprocessor_bytes)).unwrap();
        let open = |bytes: &[u8]| {
            let file = read_envelope_bytes_or_older::<ModelFile, ModelFileV1>(bytes, Path::new("m"), MODEL.into());
            Model::from_file(file.unwrap()).unwrap()
        };
        let mut houses = Table::new(2);
        for (name, values) in [
            ("sqft", [2000.0, 4000.0]),
            ("bedrooms", [3.0, 5.0]),
            ("bathrooms", [2.0, 4.0]),
            ("year_built", [1990.0, f64::NAN]),
        ] {
            houses.push(name, Values::Number(values.to_vec()));
        }
        for (name, levels) in [("location", ["Suburb", "Waterfront"]), ("condition", ["Good", "Excellent"])] {
            let levels = levels.map(String::from).to_vec();
            houses.push(name, Values::Category(Categories { codes: vec![0, 1], levels }));
        }
        let predicted = predictor.predict(&houses).unwrap();
        for (found, expected) in predicted.iter().zip([266_127.993_748_001_35, 369_508.021_745_781_1]) {
            assert!((found / expected - 1.0).abs() < 1e-12, "{found} is not {expected}");
        }
        let forest = open(&golden("forest_v1.bin"));
        let row = [2045.0, 3.0, 2.0, 1967.0, 59.0, 1.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let found = forest.predict(&Matrix::new(row.map(|cell| vec![cell]).to_vec()))[0];
        assert!((found / 311_533.640_909_658_2 - 1.0).abs() < 1e-12, "{found}");
        assert!(Explainer::new(&forest).unwrap_err().contains("have no counts of training rows"));
    }

    #[test]
    fn every_byte_of_a_preprocessor_is_guarded() {
        let sealed = encode_envelope(PREPROCESSOR.into(), preprocessor().file()).unwrap();
        check_every_byte(&sealed, PREPROCESSOR, use_preprocessor);
    }

    #[test]
    fn every_byte_of_a_model_is_guarded() {
        let sealed = encode_envelope(MODEL.into(), &model_file(preprocessor().feature_names())).unwrap();
        check_every_byte(&sealed, MODEL, use_model);
    }

    #[test]
    fn labels_name_the_bundle_in_the_image() {
        let bundle = BundleManifest::new("m", "s", Vec::new(), Vec::new(), &BundleFiles::new());
        let config = |labels: &[(&str, &str)]| {
            let labels: std::collections::HashMap<String, String> =
                labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
            let inner = oci_spec::image::ConfigBuilder::default().labels(labels).build().unwrap();
            let mut config = ImageConfiguration::default();
            config.set_config(Some(inner));
            check_labels(&config, &bundle).map_err(|error| error.to_string())
        };
        assert_eq!(config(&[(TITLE_LABEL, "m"), (VERSION_LABEL, &bundle.content_id)]), Ok(()));
        let error = config(&[(TITLE_LABEL, "other"), (VERSION_LABEL, &bundle.content_id)]).unwrap_err();
        assert_eq!(error, "its label org.opencontainers.image.title is other, and the bundle in it has m");
        let error = config(&[(TITLE_LABEL, "m")]).unwrap_err();
        assert!(error.starts_with("its label org.opencontainers.image.version is missing"), "{error}");
    }
}
