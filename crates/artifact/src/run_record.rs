//! The record of a training run, for any tracking store.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{digest::Digest, file_entry::FileEntry};

/// Format version of the record. Version 1 had no identity, note and artifact places; version 2 had no importances and leakage findings.
pub const RUN_RECORD_VERSION: u32 = 3;

/// A training run: inputs, settings and results.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunRecord {
    /// [`RUN_RECORD_VERSION`].
    pub format_version: u32,
    /// Identity of the run and its origin.
    #[serde(default)]
    pub identity: RunIdentity,
    /// State of the run; a record of version 1 was written at the end.
    #[serde(default)]
    pub status: RunStatus,
    /// Name of the model, which groups runs.
    pub name: String,
    /// Summary of the results in Markdown.
    #[serde(default)]
    pub note: String,
    /// Algorithm, effective parameters, seed and feature set.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// All metrics. Final ones have step 0, those of folds (`fold/`) the number of the fold, those of the learning curve
    /// (`learning_curve/`) the number of trees or rows.
    pub metrics: Vec<MetricPoint>,
    /// 95 % bootstrap intervals of the test metrics.
    pub intervals: BTreeMap<String, Interval>,
    /// Importance of the raw columns, the most important first.
    #[serde(default)]
    pub importances: Vec<ColumnImportance>,
    /// Leakage findings, if any.
    #[serde(default)]
    pub suspicions: Vec<LeakageRecord>,
    /// Tags for searching: algorithm, versions of program and libraries.
    pub tags: BTreeMap<String, String>,
    /// The training and test rows.
    pub datasets: Vec<DatasetInput>,
    /// The features in the order of the model.
    pub features: Vec<String>,
    /// The files of the run.
    pub artifacts: Vec<RunArtifact>,
    /// Warnings of the run.
    pub warnings: Vec<String>,
    /// Times of the run.
    pub times: RunTimes,
}

impl RunRecord {
    /// Parses a record of this or an older version.
    ///
    /// # Errors
    /// If the text is not a record, or of a newer version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|error| format!("is not a run record: {error}"))?;
        match record.format_version {
            1..=RUN_RECORD_VERSION => Ok(record),
            found => Err(format!(
                "has format version {found}; this program reads version {RUN_RECORD_VERSION} and older. Use a newer program"
            )),
        }
    }

    /// Final metrics by name.
    pub fn finals(&self) -> BTreeMap<String, f64> {
        self.metrics.iter().filter(|point| point.step == 0).map(|point| (point.key.clone(), point.value)).collect()
    }

    /// Number of rows of the dataset `train` or `test`.
    pub fn rows(&self, context: &str) -> u64 {
        self.datasets.iter().find(|input| input.context == context).map_or(0, |input| input.rows)
    }

    /// The final value of the metric called `key`.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.iter().find(|point| point.key == key && point.step == 0).map(|point| point.value)
    }
}

/// Identity of the run and its origin.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunIdentity {
    /// 32 hexadecimal digits, chosen by the program, so that recording a run twice changes nothing.
    pub run_id: String,
    /// Name for people.
    pub run_name: String,
    /// User, if known.
    pub user: Option<String>,
    /// Name of the program.
    pub source: String,
    /// Checked-out commit of the working folder, if any.
    pub commit: Option<String>,
    /// Checked-out branch of the working folder, if any.
    pub branch: Option<String>,
}

/// State of a run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// The run is not finished.
    Running,
    /// The run has finished.
    #[default]
    Finished,
    /// The run failed; its note has the error.
    Failed,
}

/// A metric at a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MetricPoint {
    /// Name of the metric.
    pub key: String,
    /// Value of the metric.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    /// 0 for final metrics, 1.. for folds.
    pub step: u32,
}

/// Reads null as NaN, because JSON has no NaN.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(|value| value.unwrap_or(f64::NAN))
}

/// Confidence interval of a metric.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Interval {
    /// The 2.5 % quantile.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// Permutation importance of a raw column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ColumnImportance {
    /// Name of the column.
    pub column: String,
    /// Increase of the mean absolute error on test rows when the column is shuffled, in the target's unit.
    pub mean: f64,
    /// Standard deviation over repeats.
    pub deviation: f64,
}

/// A sign of leakage.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LeakageRecord {
    /// A feature, or `copied rows`.
    pub subject: String,
    /// R² of the feature alone, or share of duplicate test rows.
    #[serde(rename = "figure")]
    pub value: f64,
    /// The finding as a sentence.
    pub text: String,
}

/// A dataset of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DatasetInput {
    /// `train` or `test`.
    pub context: String,
    /// The featured table.
    pub source: FileEntry,
    /// Number of rows.
    pub rows: u64,
    /// The fingerprint of the raw table's schema.
    pub schema: String,
    /// The columns that were read, the target last; all are numbers.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// An artifact of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RunArtifact {
    /// Path among the run's artifacts, such as `model/model.bin`.
    #[serde(default)]
    pub place: String,
    /// Path relative to the record's folder; the artifact path, if there is no other file.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: u64,
}

/// Start, end and durations of a run.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunTimes {
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub ended_at_ms: u64,
    /// Duration of the final fit in milliseconds.
    pub fit_ms: u64,
    /// Duration of cross-validation in milliseconds.
    pub cross_validation_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_records_are_read_and_newer_ones_rejected() {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let golden = |name: &str| std::fs::read_to_string(std::path::Path::new(&here).join("golden").join(name)).unwrap();
        let old = golden("run_record_v1.json");
        let record = RunRecord::parse(&old).unwrap();
        assert_eq!((record.name.as_str(), record.metric("mae")), ("m", Some(14_203.25)));
        assert_eq!(record.artifacts[0].path, PathBuf::from("model.bin"));
        assert_eq!(record.identity, RunIdentity::default());
        let second = RunRecord::parse(&golden("run_record_v2.json")).unwrap();
        assert_eq!((second.metric("r2"), second.identity.run_name.as_str()), (Some(0.98), "Ridge-a4914c3e"));
        assert!(second.importances.is_empty() && second.suspicions.is_empty());
        let newer = old.replace("\"format_version\": 1", "\"format_version\": 4");
        let error = RunRecord::parse(&newer).unwrap_err();
        assert_eq!(error, "has format version 4; this program reads version 3 and older. Use a newer program");
        assert!(RunRecord::parse("{").unwrap_err().starts_with("is not a run record: "));
    }
}
