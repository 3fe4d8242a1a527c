//! A registered version, ready to predict.

use anyhow::Context;
use artifact::TemporaryFolder;
use predictor::{MODEL_FILE, PREPROCESSOR_FILE, Predictor};
use tracking::{ModelVersion, Registry};

/// Fetches a version's model and preprocessor, and makes sure that they belong together.
///
/// # Errors
/// If one cannot be fetched, or is not sound.
pub fn load_version(registry: &dyn Registry, version: &ModelVersion) -> anyhow::Result<Predictor> {
    let folder = TemporaryFolder::new()?;
    let at = |name: &str| folder.path().join(name);
    let number = &version.version;
    for name in [MODEL_FILE, PREPROCESSOR_FILE] {
        registry.fetch(version, name, &at(name)).with_context(|| {
            format!("version {number} of {}: cannot fetch {name}; was it logged by `train`?", version.name)
        })?;
    }
    let predictor = Predictor::read(&at(MODEL_FILE), &at(PREPROCESSOR_FILE));
    predictor.with_context(|| format!("version {number} of {}", version.name))
}
