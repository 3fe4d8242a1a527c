//! Checks that a model can be served, without starting a server (`serve check`).

use cli::Outcome;
use model_source::Source;
use serde::Serialize;

use crate::{args::CheckArgs, models::load::DeployedModel};

/// Rows of the drift window, which stays empty.
const DRIFT_WINDOW: u64 = 1000;

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
/// If the model is absent or the registry cannot be reached; [`cli::Refused`] if it is invalid.
pub(crate) fn check_model(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let source = Source::parse(&args.model, args.mlflow_tracking_uri.as_deref())?;
    let model = DeployedModel::load(&source, DRIFT_WINDOW, None)?;
    let (model, version, source) = (model.name(), model.info.version.as_str(), model.info.source.as_str());
    let summary = Summary { status: "sound", model, version, source };
    Ok(Outcome::done(&summary, format!("check     valid: {model} {version} of {source} can be served")))
}
