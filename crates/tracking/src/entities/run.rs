//! A run of MLflow as plain data: what every store keeps, and what `sync` sends.

use std::collections::BTreeMap;

use artifact::{DatasetInput, RunRecord, RunStatus};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// The tag with our id of a run, for stores that choose ids themselves.
pub const RUN_TAG: &str = "client.run_id";
/// The tag with our id of a logged model.
pub const MODEL_TAG: &str = "client.model_id";
/// The tag of a resumed run.
pub const RESUMED_TAG: &str = "client.resumed";
/// MLflow's tag with the id of the parent run.
pub const PARENT_TAG: &str = "mlflow.parentRunId";
/// The tag of the local copy of a run that may have duplicates on a server; its value is the server.
pub(crate) const DUPLICATES_TAG: &str = "client.unsettled";
/// MLflow's tag with the name of a run.
pub(crate) const RUN_NAME_TAG: &str = "mlflow.runName";
/// MLflow's tag with the tables of a run.
const TABLES_TAG: &str = "mlflow.loggedArtifacts";
/// Longer values are truncated, as in MLflow.
const MAX_PARAMETER_CHARS: usize = 6_000;
const MAX_TAG_CHARS: usize = 8_000;
/// A longer schema is omitted, because a truncated one cannot be read.
const MAX_SCHEMA_BYTES: usize = 1_048_575;
/// Digits of a file's digest in the digest of a dataset; the manifests have all of them.
const DIGEST_DIGITS: usize = 16;

/// The status of a run, in MLflow's words.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It is under way.
    Running,
    /// It is scheduled; this program never sets it.
    Scheduled,
    /// It finished.
    Finished,
    /// It ended with an error.
    Failed,
    /// Its program ended without ending the run.
    Killed,
}

impl Status {
    /// The name that MLflow writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// Parses the name that MLflow writes.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed]
            .into_iter()
            .find(|status| status.name() == name)
    }

    /// Whether the run has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}

/// A run with its models and registrations, without its files.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Run {
    /// The name of its experiment.
    pub experiment: String,
    /// 32 hexadecimal digits, chosen by the program of the run.
    pub run_id: String,
    /// A name for lists.
    pub run_name: String,
    /// The user; empty if unknown.
    pub user: String,
    /// Its status.
    pub status: Status,
    /// Milliseconds since 1970-01-01 UTC.
    pub start_time: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub end_time: Option<i64>,
    /// The parameters.
    pub params: Vec<(String, String)>,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// The tags; those with the prefix `mlflow.` have a meaning for MLflow.
    pub tags: BTreeMap<String, String>,
    /// The datasets that it read.
    pub datasets: Vec<RunDataset>,
    /// The models that it produced.
    pub models: Vec<LoggedModel>,
    /// The registrations of its models.
    pub registrations: Vec<Registration>,
}

/// A value of a metric at a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// Its value.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// The step; 0 for a final value.
    pub step: i64,
    /// The id of the logged model that was measured.
    pub model_id: Option<String>,
    /// Name and digest of the dataset that was used.
    pub dataset: Option<(String, String)>,
}

/// JSON has no NaN; serde writes null for it.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(|value| value.unwrap_or(f64::NAN))
}

/// A dataset that a run used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RunDataset {
    /// Its name.
    pub name: String,
    /// The first digits of its digest; at most 36 characters.
    pub digest: String,
    /// The type of its source.
    pub source_type: String,
    /// Its source, as JSON.
    pub source: String,
    /// Its columns, as MLflow's JSON.
    pub schema: Option<String>,
    /// Its size, as JSON.
    pub profile: Option<String>,
    /// The use of the dataset (`mlflow.data.context`) and other tags.
    pub tags: BTreeMap<String, String>,
}

/// A model that a run produced. Its files are the run's files with this owner.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LoggedModel {
    /// `m-` and 32 hexadecimal digits.
    pub model_id: String,
    /// Its name.
    pub name: String,
    /// The type of the model, such as `regressor`.
    pub model_type: String,
    /// The step of the run that produced it.
    pub step: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub created: i64,
    /// Whether all its files are stored.
    pub ready: bool,
    /// The parameters.
    pub params: Vec<(String, String)>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
}

/// A version to register.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Registration {
    /// The name of the registered model.
    pub name: String,
    /// The id of the run's logged model.
    pub model_id: String,
    /// The description of the version, in Markdown.
    pub description: String,
    /// The tags of the version.
    pub tags: BTreeMap<String, String>,
    /// The aliases to set to the version.
    pub aliases: Vec<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub created: i64,
}

impl Run {
    /// The run of a record.
    pub fn from_record(record: &RunRecord) -> Self {
        let identity = &record.identity;
        let ended = record.times.ended_at_ms.cast_signed();
        let mut tags: BTreeMap<String, String> =
            record.tags.iter().map(|(key, value)| (key.clone(), truncate(value, MAX_TAG_CHARS).to_owned())).collect();
        let mlflow_tags = [
            (RUN_NAME_TAG, Some(identity.run_name.as_str())),
            ("mlflow.user", identity.user.as_deref()),
            ("mlflow.source.name", Some(identity.source.as_str())),
            ("mlflow.source.type", Some("LOCAL")),
            ("mlflow.source.git.commit", identity.commit.as_deref()),
            ("mlflow.source.git.branch", identity.branch.as_deref()),
            ("mlflow.note.content", Some(record.note.as_str()).filter(|note| !note.is_empty())),
        ];
        for (key, value) in mlflow_tags {
            if let Some(value) = value {
                tags.insert(key.into(), truncate(value, MAX_TAG_CHARS).to_owned());
            }
        }
        let metric = |key: &str, value: f64, step: u32| Metric {
            key: key.into(),
            // MLflow's columns do not hold infinity
            value: if value.is_nan() { value } else { value.clamp(f64::MIN, f64::MAX) },
            timestamp: ended,
            step: i64::from(step),
            model_id: None,
            dataset: None,
        };
        Self {
            experiment: record.name.clone(),
            run_id: identity.run_id.clone(),
            run_name: identity.run_name.clone(),
            user: identity.user.clone().unwrap_or_default(),
            status: match record.status {
                RunStatus::Running => Status::Running,
                RunStatus::Finished => Status::Finished,
                RunStatus::Failed => Status::Failed,
            },
            start_time: record.times.started_at_ms.cast_signed(),
            end_time: (record.status != RunStatus::Running).then_some(ended),
            params: record
                .parameters
                .iter()
                .map(|(name, value)| (name.clone(), truncate(&parameter_text(value), MAX_PARAMETER_CHARS).to_owned()))
                .collect(),
            metrics: record.metrics.iter().map(|point| metric(&point.key, point.value, point.step)).collect(),
            tags,
            datasets: record.datasets.iter().map(dataset).collect(),
            models: Vec::new(),
            registrations: Vec::new(),
        }
    }

    /// Marks the artifacts at these paths as tables, so that MLflow shows them as tables.
    pub fn tag_tables<'a>(&mut self, places: impl IntoIterator<Item = &'a str>) {
        // with the spaces of Python's JSON, because MLflow compares the text
        let tables: Vec<String> =
            places.into_iter().map(|place| format!("{{\"path\": {}, \"type\": \"table\"}}", json!(place))).collect();
        if !tables.is_empty() {
            self.tags.insert(TABLES_TAG.into(), format!("[{}]", tables.join(", ")));
        }
    }
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedRun {
    /// Its id.
    pub run_id: String,
    /// Its name.
    pub run_name: String,
    /// Its experiment's name.
    pub experiment: String,
    /// Its experiment's id.
    pub experiment_id: String,
    /// `RUNNING`, `FINISHED`, `FAILED`, `KILLED_NOTE` or `SCHEDULED`.
    pub status: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at_ms: Option<i64>,
    /// Milliseconds since 1970-01-01 UTC.
    pub ended_at_ms: Option<i64>,
    /// The latest value of every metric.
    pub metrics: BTreeMap<String, f64>,
}

/// The dataset in MLflow's form.
fn dataset(input: &DatasetInput) -> RunDataset {
    let path = &input.source.path;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let hex = input.source.digest.hex();
    let columns: Vec<Value> =
        input.columns.iter().map(|name| json!({"type": "double", "name": name, "required": true})).collect();
    let context = if input.context == "train" { "training" } else { "testing" };
    RunDataset {
        name: format!("{stem}:{}", input.context),
        digest: hex[..DIGEST_DIGITS.min(hex.len())].to_owned(),
        source_type: "local".into(),
        source: json!({"uri": path.to_string_lossy()}).to_string(),
        schema: Some(json!({ "mlflow_colspec": columns }).to_string()).filter(|text| text.len() <= MAX_SCHEMA_BYTES),
        profile: Some(json!({"num_rows": input.rows, "num_elements": input.rows * input.columns.len() as u64}).to_string()),
        tags: [("mlflow.data.context".to_owned(), context.to_owned())].into(),
    }
}

/// The value of a parameter as MLflow's client writes it: text without quotes.
fn parameter_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".into(),
        other => other.to_string(),
    }
}

/// The first `max_chars` characters.
fn truncate(text: &str, max_chars: usize) -> &str {
    text.char_indices().nth(max_chars).map_or(text, |(end, _)| &text[..end])
}

/// A new run id: 32 hexadecimal digits, as MLflow makes them.
pub fn new_run_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A new id of a logged model: `m-` and 32 hexadecimal digits.
pub fn new_model_id() -> String {
    logged_model_id(&new_run_id())
}

/// The id of the one logged model of a run.
pub fn logged_model_id(run_id: &str) -> String {
    format!("m-{run_id}")
}
