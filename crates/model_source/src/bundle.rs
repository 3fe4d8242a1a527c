//! Loads a model from a bundle: a folder or a `.tar.gz`.

use std::path::Path;

use artifact::{ArtifactError, BundleFiles, BundleManifest, bundle_digest, read_bundle};
use cli::Refused;
use drift::Reference;
use model::ModelConfig;
use predictor::{LoadedParts, ModelInfo, Predictor, REFERENCE_FILE, open_bundle};
use serde_json::Value;

use crate::DEFAULT_COVERAGE;

/// Reads the files of a bundle.
///
/// # Errors
/// If it cannot be read; [`Refused`] if it is no bundle.
pub fn read(path: &Path) -> anyhow::Result<BundleFiles> {
    read_bundle(path).map_err(|error| match error {
        ArtifactError::NotABundle { .. } => Refused(error.to_string()).into(),
        error => error.into(),
    })
}

/// Opens the files of a bundle, which must match their digests and belong together.
///
/// # Errors
/// [`Refused`] if the bundle is invalid.
pub fn open(path: &Path, files: &BundleFiles) -> anyhow::Result<(BundleManifest, Predictor)> {
    Ok(open_bundle(files).map_err(|error| invalid(path, &error))?)
}

/// The error of an invalid bundle.
pub fn invalid(path: &Path, error: &str) -> Refused {
    Refused(format!("{}: is not a valid bundle: {error}", path.display()))
}

/// Loads the model of a bundle.
///
/// # Errors
/// If it cannot be read; [`Refused`] if it is invalid.
pub fn load(path: &Path) -> anyhow::Result<LoadedParts> {
    // computed before the files are read, so that a bundle that is replaced meanwhile gets another fingerprint; reading reports the errors
    let fingerprint = bundle_digest(path).ok();
    let files = read(path)?;
    let (manifest, predictor) = open(path, &files)?;
    let reference = files.get(REFERENCE_FILE).map(|bytes| Reference::parse(bytes)).transpose();
    let reference = reference.map_err(|reason| invalid(path, &format!("{REFERENCE_FILE} {reason}")))?;
    let text = |name: &str| files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let info = ModelInfo {
        version: manifest.content_id.clone(),
        source: path.display().to_string(),
        fingerprint: fingerprint.map_or_else(String::new, |digest| digest.hex().to_owned()),
        card: text("MODEL_CARD.md").unwrap_or_default(),
        metrics: text("metrics.json").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null),
        lineage: serde_json::to_value(&manifest.lineage)?,
        coverage: coverage(&files),
        is_older_bundle: manifest.is_older(),
    };
    Ok(LoadedParts { predictor, reference, info })
}

/// The coverage of prediction intervals in the configuration of the model.
fn coverage(files: &BundleFiles) -> f64 {
    let text = files.get("model_config.yaml").map(|bytes| String::from_utf8_lossy(bytes));
    let config = text.and_then(|text| ModelConfig::parse(&text).ok());
    config.map_or(DEFAULT_COVERAGE, |config| config.model.intervals.coverage)
}
