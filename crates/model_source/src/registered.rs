//! Loads a model from a registry.

use std::path::Path;

use anyhow::Context;
use artifact::{TemporaryFolder, bundle_file_limit, read_bounded};
use cli::Refused;
use drift::Reference;
use predictor::{LoadedParts, MODEL_FILE, ModelInfo, PREPROCESSOR_FILE, Predictor, PredictorError, REFERENCE_FILE};
use serde_json::json;
use tracking::{Location, ModelUri, ModelUriError, ModelVersion, Registry, Tracking, TrackingError};

use crate::DEFAULT_COVERAGE;

/// The location of the registry: that of the flag, of `MLFLOW_TRACKING_URI`, or the default beside the working directory.
///
/// # Errors
/// If the location cannot hold registered models.
pub fn location(tracking_uri: Option<&str>) -> Result<Location, TrackingError> {
    Ok(Location::from_flag_or_environment(tracking_uri, &cli::variable)?)
}

/// Finds the registry, and the version that `uri` names now.
///
/// # Errors
/// [`ModelUriError`] if there is no such version, or the registry does not respond.
pub fn find(uri: &ModelUri, location: &Location) -> Result<(Box<dyn Registry>, ModelVersion), ModelUriError> {
    let tracking = Tracking::new(location.clone(), Path::new("models"), &cli::variable).map_err(ModelUriError::Registry)?;
    let registry = tracking.registry().map_err(ModelUriError::Registry)?;
    let version = uri.resolve(&*registry, location)?;
    Ok((registry, version))
}

/// Fetches the model and the preprocessor of a version.
///
/// # Errors
/// If one cannot be fetched; [`PredictorError`] if they are invalid or do not belong together.
pub fn load_predictor(registry: &dyn Registry, version: &ModelVersion) -> anyhow::Result<Predictor> {
    let folder = TemporaryFolder::new()?;
    let at = |name: &str| folder.path().join(name);
    let title = format!("version {} of {}", version.version, version.name);
    for name in [MODEL_FILE, PREPROCESSOR_FILE] {
        registry
            .fetch(version, name, &at(name))
            .with_context(|| format!("{title}: cannot fetch {name}; was it logged by `train`?"))?;
    }
    let read = |name: &str| read_bounded(&at(name), bundle_file_limit(name).unwrap_or(0));
    let (model, preprocessor) = (read(MODEL_FILE)?, read(PREPROCESSOR_FILE)?);
    let predictor = Predictor::from_bytes((Path::new(MODEL_FILE), &model), (Path::new(PREPROCESSOR_FILE), &preprocessor));
    predictor.context(title)
}

/// Loads the model of a version; `source` is its URI.
///
/// # Errors
/// If it cannot be fetched; [`Refused`] if it is invalid.
pub(crate) fn load(registry: &dyn Registry, version: &ModelVersion, source: &str) -> anyhow::Result<LoadedParts> {
    let title = format!("version {} of {}", version.version, version.name);
    let predictor = load_predictor(registry, version)
        .map_err(|error| if error.is::<PredictorError>() { Refused(format!("{error:#}")).into() } else { error })?;
    let folder = TemporaryFolder::new()?;
    let path = folder.path().join(REFERENCE_FILE);
    // versions of older programs have none
    let fetched = registry.fetch(version, REFERENCE_FILE, &path).is_ok();
    let bytes = if fetched { Some(read_bounded(&path, bundle_file_limit(REFERENCE_FILE).unwrap_or(0))?) } else { None };
    let reference = bytes.map(|bytes| Reference::parse(&bytes)).transpose();
    let reference = reference.map_err(|reason| Refused(format!("{title}: {REFERENCE_FILE} {reason}")))?;
    let info = ModelInfo {
        version: version.version.clone(),
        source: source.to_owned(),
        fingerprint: version.version.clone(),
        card: format!("# {}, version {}\n\n{}\n", version.name, version.version, version.description),
        metrics: json!(version.tags),
        lineage: json!({"run_id": version.run_id, "model_id": version.model_id, "source": version.source}),
        coverage: DEFAULT_COVERAGE,
        is_older_bundle: false,
    };
    Ok(LoadedParts { predictor, reference, info })
}
