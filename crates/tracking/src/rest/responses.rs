//! Responses of MLflow's REST API. Missing fields take their defaults; unknown fields are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entities::run::Status;

/// A parameter or a tag in MLflow's JSON.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: String,
    pub(super) value: String,
}

/// Keys and values, in the given order.
pub(super) fn key_values<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<KeyValue> {
    entries.into_iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

/// Values by key.
pub(super) fn to_map(key_values: Vec<KeyValue>) -> BTreeMap<String, String> {
    key_values.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Experiment {
    pub(super) experiment_id: String,
    pub(super) lifecycle_stage: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteRun {
    pub(super) info: RunInfo,
    pub(super) data: RunData,
    pub(super) outputs: Outputs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RunInfo {
    pub(super) run_id: String,
    pub(super) run_name: String,
    pub(super) experiment_id: String,
    pub(super) status: String,
    pub(super) start_time: Option<i64>,
    pub(super) end_time: Option<i64>,
    pub(super) artifact_uri: String,
    pub(super) lifecycle_stage: String,
}

impl RunInfo {
    pub(super) fn is_over(&self) -> bool {
        Status::parse(&self.status).is_some_and(Status::is_over)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RunData {
    pub(super) metrics: Vec<MetricValue>,
    pub(super) tags: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MetricValue {
    pub(super) key: String,
    /// A number; `NaN` and infinity are text.
    pub(super) value: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outputs {
    pub(super) model_outputs: Vec<ModelOutput>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct ModelOutput {
    pub(super) model_id: String,
    pub(super) step: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteModel {
    pub(super) info: LoggedModelInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoggedModelInfo {
    pub(super) model_id: String,
    pub(super) artifact_uri: String,
    pub(super) status: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteVersion {
    pub(super) version: String,
    pub(super) creation_timestamp: i64,
    pub(super) run_id: String,
    pub(super) source: String,
    pub(super) description: String,
    pub(super) tags: Vec<KeyValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteRegisteredModel {
    pub(super) tags: Vec<KeyValue>,
    pub(super) aliases: Vec<RemoteAlias>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteAlias {
    pub(super) alias: String,
    pub(super) version: String,
}

/// A response with one field.
macro_rules! response {
    ($name:ident, $field:ident: $kind:ty) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name {
            pub(super) $field: $kind,
        }
    };
}
response!(ExperimentResponse, experiment: Experiment);
response!(RunResponse, run: RemoteRun);
response!(ModelResponse, model: RemoteModel);
response!(VersionResponse, model_version: RemoteVersion);
response!(RegisteredModelResponse, registered_model: RemoteRegisteredModel);

/// A page of a search.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SearchPage {
    pub(super) experiments: Vec<NamedExperiment>,
    pub(super) runs: Vec<RemoteRun>,
    pub(super) models: Vec<RemoteModel>,
    pub(super) model_versions: Vec<RemoteVersion>,
    pub(super) next_page_token: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedExperiment {
    pub(super) experiment_id: String,
    pub(super) name: String,
}
