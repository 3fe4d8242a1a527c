//! The champion, with which a model is compared.

use std::path::Path;

use anyhow::Context;
use model_source::{bundle, registered};
use predictor::Predictor;
use tracking::{ModelUri, ModelUriError};

use crate::config::Config;

/// The champion, if there is one.
pub(crate) enum Champion {
    /// There is none, for this reason.
    None(String),
    Model {
        /// Its name in messages.
        name: String,
        predictor: Box<Predictor>,
    },
}

impl Champion {
    /// Loads the champion of the arguments. An empty registry has no champion yet; a missing bundle is an error.
    pub(crate) fn load(config: &Config) -> anyhow::Result<Self> {
        let Some(champion) = &config.champion else { return Ok(Self::None("no --champion was given".into())) };
        match ModelUri::parse(champion) {
            Some(uri) => load_registered(&uri.map_err(|message| anyhow::anyhow!("--champion {message}"))?, config),
            None => load_bundled(Path::new(champion)),
        }
    }
}

fn load_registered(uri: &ModelUri, config: &Config) -> anyhow::Result<Champion> {
    let location = registered::location(config.tracking_uri.as_deref())?;
    let (registry, version) = match registered::find(uri, &location) {
        Ok(version) => version,
        Err(ModelUriError::Absent(message)) => return Ok(Champion::None(format!("no champion yet: {message}"))),
        Err(ModelUriError::Registry(error)) => return Err(error).with_context(|| format!("--champion {uri}")),
    };
    let predictor = registered::load_predictor(&*registry, &version)?;
    Ok(Champion::Model { name: format!("{} version {}", uri.name(), version.version), predictor: Box::new(predictor) })
}

fn load_bundled(path: &Path) -> anyhow::Result<Champion> {
    // an invalid champion is an error, not a failed check
    let files = bundle::read(path).map_err(|error| anyhow::anyhow!("--champion: {error}"))?;
    let (manifest, predictor) = bundle::open(path, &files).map_err(|error| anyhow::anyhow!("--champion {error}"))?;
    Ok(Champion::Model { name: manifest.folder(), predictor: Box::new(predictor) })
}
