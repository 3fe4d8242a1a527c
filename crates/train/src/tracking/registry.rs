//! Where models are registered, as the flags say.

use std::path::Path;

use artifact::RunRecord;
use cli::{Progress, Refused};
use tracking::{RegisteredModel, Registry};

use crate::{args::TrackingArgs, config::Config, tracking::session::tracking};

/// The registry that the flags and variables name, and the model in it.
pub(crate) fn open(
    args: &TrackingArgs,
    name: &str,
    progress: &Progress,
) -> anyhow::Result<(Box<dyn Registry>, RegisteredModel)> {
    let (tracking, warning) = tracking(args, Path::new("models"))?;
    warning.into_iter().for_each(|warning| progress.warn(warning));
    let registry = tracking.registry()?;
    let model = registry.model(name)?.ok_or_else(|| {
        Refused(format!("{}: has no registered model \"{name}\"; `train --register` registers one", tracking.location))
    })?;
    Ok((registry, model))
}

/// The version that is the model of this run, if it was registered.
pub(crate) fn version_of(config: &Config, record: &RunRecord) -> anyhow::Result<Option<String>> {
    let registry = config.tracking.registry()?;
    let name = &record.identity.run_name;
    // a registry that cannot be read is dealt with when the run is recorded
    let versions = registry.versions(&record.name).unwrap_or_default();
    Ok(versions.into_iter().find(|version| version.tags.get("run_name") == Some(name)).map(|version| version.version))
}
