//! URIs of registered models, as MLflow's clients write them: `models:/NAME@ALIAS` and `models:/NAME/VERSION`.

use std::fmt;

use crate::{
    entities::{
        location::Location,
        registry::{ModelVersion, Registry},
    },
    error::TrackingError,
};

/// The prefix of these URIs.
const PREFIX: &str = "models:/";

/// A reference to a version of a registered model, by number or by alias.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelUri {
    name: String,
    selector: Selector,
}

#[derive(Clone, Debug, PartialEq)]
enum Selector {
    Alias(String),
    Version(String),
}

/// Why a URI has no version.
#[derive(Debug, thiserror::Error)]
pub enum ModelUriError {
    /// The registry has no such version; the message lists those that it has.
    #[error("{0}")]
    Absent(String),
    /// The registry could not be read.
    #[error(transparent)]
    Registry(#[from] TrackingError),
}

impl Selector {
    fn is_valid(&self) -> bool {
        match self {
            Self::Alias(alias) => !alias.is_empty() && !alias.contains('/'),
            Self::Version(version) => version.parse::<u32>().is_ok(),
        }
    }
}

impl ModelUri {
    /// Parses the text; `None` if it is something else, such as a path.
    ///
    /// # Errors
    /// If it has the prefix and is invalid.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let registered = text.strip_prefix(PREFIX)?;
        let by_alias = registered.split_once('@').map(|(name, alias)| (name, Selector::Alias(alias.to_owned())));
        let by_version = || registered.split_once('/').map(|(name, version)| (name, Selector::Version(version.to_owned())));
        Some(match by_alias.or_else(by_version) {
            Some((name, selector)) if !name.is_empty() && selector.is_valid() => {
                Ok(Self { name: name.to_owned(), selector })
            }
            _ => Err(format!("{text}: write models:/NAME@ALIAS or models:/NAME/VERSION")),
        })
    }

    /// The name of the registered model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The current version of the URI; `location` of the registry is for messages.
    ///
    /// # Errors
    /// If there is no such version, or the registry cannot be read.
    pub fn resolve(&self, registry: &dyn Registry, location: &Location) -> Result<ModelVersion, ModelUriError> {
        let name = &self.name;
        let model = registry.model(name)?.ok_or_else(|| {
            ModelUriError::Absent(format!(
                "{location}: has no registered model \"{name}\"; `train --register` registers one"
            ))
        })?;
        let version = match &self.selector {
            Selector::Version(version) => version,
            Selector::Alias(alias) => model.aliases.get(alias).ok_or_else(|| {
                let known = model.aliases.keys().cloned().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none".to_owned() } else { known };
                ModelUriError::Absent(format!("{name}: no version has the alias `{alias}`; its aliases: {known}"))
            })?,
        };
        let versions = registry.versions(name)?;
        versions.iter().find(|known| known.version == *version).cloned().ok_or_else(|| {
            let numbers: Vec<&str> = versions.iter().rev().map(|version| version.version.as_str()).collect();
            ModelUriError::Absent(format!("{name}: there is no version {version}; the versions are {}", numbers.join(", ")))
        })
    }
}

impl fmt::Display for ModelUri {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.selector {
            Selector::Alias(alias) => write!(f, "{PREFIX}{}@{alias}", self.name),
            Selector::Version(version) => write!(f, "{PREFIX}{}/{version}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        assert_eq!(ModelUri::parse("models/packaged/a"), None);
        for text in ["models:/house@champion", "models:/house/3"] {
            assert_eq!(ModelUri::parse(text).unwrap().unwrap().to_string(), text);
        }
        for text in ["models:/house", "models:/house@", "models:/@champion", "models:/house/three", "models:/a@b/c"] {
            let expected = format!("{text}: write models:/NAME@ALIAS or models:/NAME/VERSION");
            assert_eq!(ModelUri::parse(text), Some(Err(expected)));
        }
    }
}
