//! Where runs are recorded: the flag `--mlflow-tracking-uri` and the environment variables of MLflow.

use std::{path::Path, sync::Arc};

use cli::Progress;
use tracking::{Location, LocationError, TRACKING_URI_VARIABLE, Tracking, TrackingError, WarningSink};

use crate::args::TrackingArgs;

const RUN_ID_VARIABLE: &str = "MLFLOW_RUN_ID";

/// Where and how runs are recorded, and a warning. Runs that cannot be recorded wait below `models`.
///
/// A tracking URI in the environment that cannot be used is a warning, because it may be meant for another program.
///
/// # Errors
/// If the flag, or a variable that configures a server, cannot be used.
pub(crate) fn tracking_from_args(args: &TrackingArgs, models: &Path) -> Result<(Tracking, Option<String>), TrackingError> {
    let (location, warning) = location_from_args(args)?;
    Ok((Tracking::new(location, models, &cli::variable)?, warning))
}

fn location_from_args(args: &TrackingArgs) -> Result<(Location, Option<String>), TrackingError> {
    match Location::from_flag_or_environment(args.mlflow_tracking_uri.as_deref(), &cli::variable) {
        Ok(location) => Ok((location, None)),
        Err(LocationError::Flag(error)) => Err(error),
        Err(LocationError::Variable(error)) => {
            let location = Location::default();
            let warning = format!("{TRACKING_URI_VARIABLE} is not used: {error}. Using {location}");
            Ok((location, Some(warning)))
        }
    }
}

/// The id of the run that `MLFLOW_RUN_ID` says to continue, and a warning if the variable cannot be used.
pub(crate) fn resumed_run() -> (Option<String>, Option<String>) {
    match cli::variable(RUN_ID_VARIABLE) {
        Some(run) if is_run_id(&run) => (Some(run), None),
        Some(run) => (None, Some(format!("{RUN_ID_VARIABLE} is not used: \"{run}\" is not the id of a run"))),
        None => (None, None),
    }
}

/// Whether `text` consists of 32 lower-case hexadecimal digits.
pub(crate) fn is_run_id(text: &str) -> bool {
    text.len() == 32 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// A function that prints warnings.
pub(crate) fn warning_sink(progress: &Progress) -> WarningSink {
    let progress = *progress;
    Arc::new(move |warning| progress.warn(warning))
}
