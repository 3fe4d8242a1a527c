//! `serve check`: whether a model could be served, before a server is started that would be started again and again without one.

use cli::Outcome;
use model_source::Source;
use serde::Serialize;

use crate::{args::CheckArgs, models::load::DeployedModel};

/// Rows that drift would be measured on; there are none.
const WINDOW: u64 = 1000;

#[derive(Serialize)]
struct Summary<'a> {
    status: &'static str,
    model: &'a str,
    version: &'a str,
    source: &'a str,
}

/// Loads the model, which predicts a typical row.
///
/// # Errors
/// If it is not there or the registry cannot be asked; or ([`cli::Refused`]) if it is not sound.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let source = Source::parse(&args.model, args.mlflow_tracking_uri.as_deref())?;
    let engine = DeployedModel::load(&source, WINDOW, None)?;
    let (model, version, source) = (engine.name(), engine.info.version.as_str(), engine.info.source.as_str());
    let summary = Summary { status: "sound", model, version, source };
    Ok(Outcome::done(&summary, format!("check     sound: {model} {version} of {source} can be served")))
}
