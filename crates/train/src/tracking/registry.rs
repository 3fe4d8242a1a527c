//! The registry that the flags and variables of MLflow name.

use std::path::Path;

use artifact::RunRecord;
use cli::{Progress, Refused};
use tracking::{RegisteredModel, Registry};

use crate::{args::TrackingArgs, config::Config, tracking::location::tracking_from_args};

/// The registry, and the registered model `name` in it. Prints the warning about an unusable variable.
///
/// # Errors
/// If the registry cannot be read, or ([`Refused`]) has no such model.
pub(crate) fn connect(
    args: &TrackingArgs,
    name: &str,
    progress: &Progress,
) -> anyhow::Result<(Box<dyn Registry>, RegisteredModel)> {
    let (tracking, warning) = tracking_from_args(args, Path::new("models"))?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let registry = tracking.registry()?;
    let model = registry.model(name)?.ok_or_else(|| {
        Refused(format!("{}: has no registered model \"{name}\"; `train --register` registers one", tracking.location))
    })?;
    Ok((registry, model))
}

/// The registered version with the model of this run.
///
/// # Errors
/// If an address or a setting of the registry cannot be used.
pub(crate) fn version_of(config: &Config, record: &RunRecord) -> anyhow::Result<Option<String>> {
    let registry = config.tracking.registry()?;
    let name = &record.identity.run_name;
    // a registry that cannot be read is reported when the run is recorded
    let versions = registry.versions(&record.name).unwrap_or_default();
    Ok(versions.into_iter().find(|version| version.tags.get("run_name") == Some(name)).map(|version| version.version))
}
