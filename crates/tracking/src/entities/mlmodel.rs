//! The `MLmodel` file of a logged model, with the ids and paths of its store.

use serde_yaml::{Mapping, Value};

use crate::{
    entities::store::{ArtifactContent, RunFile},
    error::TrackingError,
};

/// The name of the file in the model's folder.
pub const MLMODEL_FILE: &str = "MLmodel";

/// The file with the ids of the model and of its run, and with the path of its files, as MLflow writes them. Its other keys and other
/// files are unchanged.
pub(crate) fn with_addresses(file: &RunFile, folder: &str, model_id: &str, run_id: &str) -> Result<RunFile, TrackingError> {
    if file.artifact_path != MLMODEL_FILE {
        return Ok(file.clone());
    }
    let unreadable = |reason: String| TrackingError::InvalidFile { path: file.artifact_path.clone().into(), reason };
    let text = String::from_utf8(file.read()?).map_err(|error| unreadable(error.to_string()))?;
    let mut mapping: Mapping = serde_yaml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    for (key, value) in [("artifact_path", folder), ("model_id", model_id), ("model_uuid", model_id), ("run_id", run_id)] {
        mapping.insert(Value::from(key), Value::from(value));
    }
    let text = serde_yaml::to_string(&mapping).map_err(|error| unreadable(error.to_string()))?;
    Ok(RunFile { content: ArtifactContent::Bytes(text.into_bytes()), ..file.clone() })
}
