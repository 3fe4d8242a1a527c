//! Where the registry of `models:/…` is.

use tracking::{Location, TrackingError};

const VARIABLE: &str = "MLFLOW_TRACKING_URI";

/// Where the registry is: as the flag says, else the environment, else beside the working directory.
///
/// # Errors
/// If it is no place where models can be registered.
pub(crate) fn location(tracking_uri: Option<&str>) -> Result<Location, TrackingError> {
    let address = tracking_uri.map(str::to_owned).or_else(|| cli::variable(VARIABLE));
    address.map_or_else(|| Ok(Location::default()), |address| Location::parse(&address))
}
