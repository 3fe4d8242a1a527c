//! The source of a model: a bundle, or a version of a registered model.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use artifact::bundle_digest;
use cli::Refused;
use predictor::LoadedParts;
use tracking::{Location, ModelUri, ModelUriError, ModelVersion, Registry};

use crate::{bundle, registered};

/// The source of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The folder or archive of a bundle.
    Bundle(PathBuf),
    /// A version of a registered model.
    Registered {
        /// Its name, with a version or an alias.
        uri: ModelUri,
        /// The registry.
        location: Location,
    },
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
    /// Parses a path, `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
    ///
    /// # Errors
    /// If the URI is invalid, or the registry's address cannot be used.
    pub fn parse(text: &str, tracking_uri: Option<&str>) -> anyhow::Result<Self> {
        let Some(parsed) = ModelUri::parse(text) else { return Ok(Self::Bundle(text.into())) };
        let uri = parsed.map_err(anyhow::Error::msg)?;
        Ok(Self::Registered { uri, location: registered::location(tracking_uri)? })
    }

    /// The folder or archive, if it is a bundle.
    pub fn bundle(&self) -> Option<&Path> {
        match self {
            Self::Bundle(path) => Some(path),
            Self::Registered { .. } => None,
        }
    }

    /// Loads the model with its preprocessor, and its description.
    ///
    /// # Errors
    /// If it is absent; [`Refused`] if it is invalid.
    pub fn load(&self) -> anyhow::Result<LoadedParts> {
        match self {
            Self::Bundle(path) => bundle::load(path),
            Self::Registered { uri, location } => {
                let (registry, version) = find(uri, location)?;
                registered::load(&*registry, &version, &self.to_string())
            }
        }
    }

    /// A text that changes when another model is at the source. It is cheap to compute.
    ///
    /// # Errors
    /// If there is no model.
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        match self {
            Self::Bundle(path) => Ok(bundle_digest(path)?.hex().to_owned()),
            Self::Registered { uri, location } => Ok(find(uri, location)?.1.version),
        }
    }
}

/// Finds the version that `uri` names; [`Refused`] if there is none.
fn find(uri: &ModelUri, location: &Location) -> anyhow::Result<(Box<dyn Registry>, ModelVersion)> {
    registered::find(uri, location).map_err(|error| match error {
        ModelUriError::Absent(message) => Refused(message).into(),
        ModelUriError::Registry(error) => error.into(),
    })
}
