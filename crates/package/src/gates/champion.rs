//! The model that is in use, to be compared with.

use std::path::Path;

use anyhow::Context;
use artifact::read_bundle;
use evaluation::load_version;
use predictor::{Predictor, open_bundle};
use tracking::{ModelUri, ModelUriError, Tracking};

use crate::{config::Config, registry_location};

/// The champion, if there is one.
pub(crate) enum Champion {
    /// There is none; says why.
    None(String),
    Found {
        /// What it is called.
        name: String,
        predictor: Box<Predictor>,
    },
}

impl Champion {
    /// The one that the arguments name. A registry without a champion has none yet; a bundle that is not there is an error.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let Some(named) = &config.champion else { return Ok(Self::None("no --champion was named".into())) };
        match ModelUri::parse(named) {
            Some(uri) => registered(&uri.map_err(|message| anyhow::anyhow!("--champion {message}"))?, config),
            None => bundled(Path::new(named)),
        }
    }
}

fn registered(uri: &ModelUri, config: &Config) -> anyhow::Result<Champion> {
    let location = registry_location::location(config.tracking_uri.as_deref())?;
    let registry = Tracking::new(location.clone(), Path::new("models"), &cli::variable)?.registry()?;
    let version = match uri.resolve(&*registry, &location) {
        Ok(version) => version,
        Err(ModelUriError::Absent(message)) => return Ok(Champion::None(format!("no champion yet: {message}"))),
        Err(ModelUriError::Registry(error)) => return Err(error).with_context(|| format!("--champion {uri}")),
    };
    let predictor = load_version(&*registry, &version)?;
    Ok(Champion::Found { name: format!("{} version {}", uri.name(), version.version), predictor: Box::new(predictor) })
}

fn bundled(path: &Path) -> anyhow::Result<Champion> {
    let files = read_bundle(path).context("--champion")?;
    let unsound = |fault: String| anyhow::anyhow!("--champion {}: is not a sound bundle: {fault}", path.display());
    let (manifest, predictor) = open_bundle(&files).map_err(unsound)?;
    Ok(Champion::Found { name: manifest.folder(), predictor: Box::new(predictor) })
}
