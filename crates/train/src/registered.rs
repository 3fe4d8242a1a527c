//! Where models are registered, as the flags say.

use std::path::Path;

use anyhow::Context;
use artifact::RunRecord;
use cli::{No, Progress};
use tracking::{EmbeddedStore, Location, RegisteredModel, Registry, Tracking};

use crate::{Config, args::TrackingArgs, tracked::tracking};

/// The registry of `tracking`.
fn registry_of(tracking: &Tracking) -> anyhow::Result<Box<dyn Registry>> {
    Ok(match &tracking.location {
        Location::Sqlite { database } => Box::new(EmbeddedStore::at(database)),
        Location::Server { .. } => Box::new(tracking.server()?.context("a server has an address")?),
    })
}

/// The registry that the flags and variables name, and the model in it.
pub(crate) fn open(
    args: &TrackingArgs,
    name: &str,
    progress: &Progress,
) -> anyhow::Result<(Box<dyn Registry>, RegisteredModel)> {
    let (tracking, warning) = tracking(args, Path::new("models"))?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let registry = registry_of(&tracking)?;
    let model = registry.model(name)?.ok_or_else(|| {
        No(format!("{}: has no registered model \"{name}\"; `train --register` registers one", tracking.location))
    })?;
    Ok((registry, model))
}

/// The version that is the model of this run, if it was registered.
pub(crate) fn version_of(config: &Config, record: &RunRecord) -> anyhow::Result<Option<String>> {
    let registry = registry_of(&config.tracking)?;
    let name = &record.identity.run_name;
    // a registry that cannot be read is dealt with when the run is recorded
    let versions = registry.versions(&record.name).unwrap_or_default();
    Ok(versions.into_iter().find(|version| version.tags.get("run_name") == Some(name)).map(|version| version.version))
}
