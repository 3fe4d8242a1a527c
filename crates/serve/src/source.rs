//! Where a model comes from: a bundle's folder or archive, or a registry.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use artifact::{ArtifactError, BundleFiles, TemporaryFolder, bundle_digest, bundle_file_limit, read_bounded, read_bundle};
use cli::No;
use drift::Reference;
use model::ModelConfig;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor, REFERENCE_FILE, open_bundle};
use serde_json::{Value, json};
use tracking::{Location, ModelUri, ModelUriError, ModelVersion, Registry, Tracking, TrackingError};

/// The share of targets that intervals hold where nobody says.
const COVERAGE: f64 = 0.9;
const VARIABLE: &str = "MLFLOW_TRACKING_URI";

/// What the user named.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A folder or an archive.
    Bundle(PathBuf),
    /// A version of a registered model.
    Registered { uri: ModelUri, location: Location },
}

/// What was found there.
pub(crate) struct Found {
    pub(crate) predictor: Predictor,
    pub(crate) reference: Option<Reference>,
    pub(crate) about: About,
}

/// What is to be known of a model beside how it predicts.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// What tells it from others of its name: a registry's version, or the content of the bundle.
    pub(crate) version: String,
    /// Where it came from.
    pub(crate) source: String,
    /// What changes when another model is there.
    pub(crate) mark: String,
    /// The card, in Markdown.
    pub(crate) card: String,
    /// `metrics.json` of a bundle, or the facts on a version.
    pub(crate) metrics: Value,
    pub(crate) lineage: Value,
    /// The share of targets that intervals hold.
    pub(crate) coverage: f64,
    /// Whether it is a bundle whose content id does not stand for its name, schema, lineage and gates.
    pub(crate) is_older: bool,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Bundle(path) => path.display().fmt(f),
            Self::Registered { uri, .. } => uri.fmt(f),
        }
    }
}

impl Source {
    /// Understands a path, `models:/NAME@ALIAS` and `models:/NAME/VERSION`.
    ///
    /// # Errors
    /// If it is neither, or the registry's address cannot be used.
    pub(crate) fn parse(text: &str, tracking_uri: Option<&str>) -> anyhow::Result<Self> {
        let Some(parsed) = ModelUri::parse(text) else { return Ok(Self::Bundle(text.into())) };
        let model = parsed.map_err(anyhow::Error::msg)?;
        let uri = tracking_uri.map(str::to_owned).or_else(|| cli::variable(VARIABLE));
        let location = uri.map_or_else(|| Ok(Location::default()), |uri| Location::parse(&uri))?;
        Ok(Self::Registered { uri: model, location })
    }

    /// The bundle's folder or archive, if it is one.
    pub(crate) fn bundle(&self) -> Option<&Path> {
        match self {
            Self::Bundle(path) => Some(path),
            Self::Registered { .. } => None,
        }
    }

    /// Reads model, preprocessor and what is known of them, and makes sure that they belong together.
    ///
    /// # Errors
    /// If it is not there, or ([`No`]) not sound.
    pub(crate) fn load(&self) -> anyhow::Result<Found> {
        match self {
            Self::Bundle(path) => load_bundle(path),
            Self::Registered { uri, location } => {
                let (registry, version) = find(uri, location)?;
                load_version(&*registry, &version, &self.to_string())
                    .with_context(|| format!("version {} of {}", version.version, uri.name()))
            }
        }
    }

    /// What changes when another model is there: cheap to ask for again and again.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) fn mark(&self) -> anyhow::Result<String> {
        match self {
            Self::Bundle(path) => Ok(bundle_digest(path)?.hex().to_owned()),
            Self::Registered { uri, location } => Ok(find(uri, location)?.1.version),
        }
    }
}

/// The registry, and the version in it that `uri` is now.
fn find(uri: &ModelUri, location: &Location) -> anyhow::Result<(Box<dyn Registry>, ModelVersion)> {
    let registry = Tracking::new(location.clone(), Path::new("models"), &cli::variable)?.registry()?;
    let version = uri.resolve(&*registry, location).map_err(|error| match error {
        ModelUriError::Absent(message) => anyhow::Error::from(No(message)),
        ModelUriError::Registry(error) => error.into(),
    })?;
    Ok((registry, version))
}

fn load_version(registry: &dyn Registry, version: &ModelVersion, source: &str) -> anyhow::Result<Found> {
    let folder = TemporaryFolder::new()?;
    let fetch = |name: &str| -> Result<Vec<u8>, TrackingError> {
        let path = folder.path().join(name);
        registry.fetch(version, name, &path)?;
        Ok(read_bounded(&path, bundle_file_limit(name).unwrap_or(0))?)
    };
    let needed = |name: &str| fetch(name).with_context(|| format!("cannot fetch {name}; was it logged by `train`?"));
    let (model, preprocessor) = (needed(MODEL_FILE)?, needed(PREPROCESSOR_FILE)?);
    let predictor = Predictor::of_bytes((Path::new(MODEL_FILE), &model), (Path::new(PREPROCESSOR_FILE), &preprocessor))
        .map_err(|error| No(error.to_string()))?;
    // versions of older programs have none
    let reference = fetch(REFERENCE_FILE).ok().map(|bytes| Reference::parse(&bytes)).transpose();
    let reference = reference.map_err(|reason| No(format!("{REFERENCE_FILE}: {reason}")))?;
    let about = About {
        version: version.version.clone(),
        source: source.to_owned(),
        mark: version.version.clone(),
        card: format!("# {}, version {}\n\n{}\n", version.name, version.version, version.description),
        metrics: json!(version.tags),
        lineage: json!({"run_id": version.run_id, "model_id": version.model_id, "source": version.source}),
        coverage: COVERAGE,
        is_older: false,
    };
    Ok(Found { predictor, reference, about })
}

fn load_bundle(path: &Path) -> anyhow::Result<Found> {
    let refused = |error: ArtifactError| match error {
        ArtifactError::NotABundle { .. } => anyhow::Error::from(No(error.to_string())),
        error => error.into(),
    };
    let unsound = |fault: String| No(format!("{}: is not a sound bundle: {fault}", path.display()));
    // before it is read: another that takes its place meanwhile is then seen to be another; what is wrong with it, reading says
    let mark = bundle_digest(path).ok();
    let files = read_bundle(path).map_err(refused)?;
    let (manifest, predictor) = open_bundle(&files).map_err(unsound)?;
    let reference = files.get(REFERENCE_FILE).map(|bytes| Reference::parse(bytes)).transpose();
    let reference = reference.map_err(|reason| unsound(format!("{REFERENCE_FILE} {reason}")))?;
    let text = |name: &str| files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let about = About {
        version: manifest.content_id.clone(),
        source: path.display().to_string(),
        mark: mark.map_or_else(String::new, |mark| mark.hex().to_owned()),
        card: text("MODEL_CARD.md").unwrap_or_default(),
        metrics: text("metrics.json").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null),
        lineage: serde_json::to_value(&manifest.lineage)?,
        coverage: coverage(&files),
        is_older: manifest.is_older(),
    };
    Ok(Found { predictor, reference, about })
}

/// The coverage that the model was trained for.
fn coverage(files: &BundleFiles) -> f64 {
    let text = files.get("model_config.yaml").map(|bytes| String::from_utf8_lossy(bytes));
    let config = text.and_then(|text| ModelConfig::parse(&text).ok());
    config.map_or(COVERAGE, |config| config.model.intervals.coverage)
}
