//! A training run as plain data, for any store that keeps runs.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{digest::Digest, file_entry::FileEntry};

/// The record's format version. Version 1 had no identity, no note and no places for artifacts, version 2 no importances and no
/// suspicions.
pub const RUN_RECORD_VERSION: u32 = 3;

/// One training run: what went in, what was asked, what came out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunRecord {
    /// [`RUN_RECORD_VERSION`].
    pub format_version: u32,
    /// Which run it is and who made it.
    #[serde(default)]
    pub identity: RunIdentity,
    /// How far it got; a record of version 1 was written at the end.
    #[serde(default)]
    pub status: RunStatus,
    /// The model's name, under which runs are gathered.
    pub name: String,
    /// What the run found, in Markdown.
    #[serde(default)]
    pub note: String,
    /// The algorithm, its parameters as used, the seed, the feature set: everything that was chosen.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Every measured figure; final ones at step 0, those of the folds under `fold/` at the fold's number, those of the learning
    /// curve under `learning_curve/` at the number of trees or rows.
    pub metrics: Vec<MetricPoint>,
    /// 95 % bootstrap intervals of the test metrics.
    pub intervals: BTreeMap<String, Interval>,
    /// What the model goes by: every raw column, the most important first.
    #[serde(default)]
    pub importances: Vec<ColumnImportance>,
    /// What lets the score look better than it is, if there is anything.
    #[serde(default)]
    pub suspicions: Vec<LeakageRecord>,
    /// Facts to search by: algorithm, program and library versions.
    pub tags: BTreeMap<String, String>,
    /// The rows that were learned from and measured on.
    pub datasets: Vec<DatasetInput>,
    /// The features in the order in which the model takes them.
    pub features: Vec<String>,
    /// The files of the run.
    pub artifacts: Vec<RunArtifact>,
    /// What the run was not able to honour, in words.
    pub warnings: Vec<String>,
    /// When it ran.
    pub times: RunTimes,
}

impl RunRecord {
    /// Reads a record of this version or an older one.
    ///
    /// # Errors
    /// If the text is not a record, or one of a newer program; says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|error| format!("is not the record of a run: {error}"))?;
        match record.format_version {
            1..=RUN_RECORD_VERSION => Ok(record),
            found => Err(format!(
                "has format version {found}; this program reads version {RUN_RECORD_VERSION} and older. Use a newer program"
            )),
        }
    }

    /// The final values by name.
    pub fn finals(&self) -> BTreeMap<String, f64> {
        self.metrics.iter().filter(|point| point.step == 0).map(|point| (point.key.clone(), point.value)).collect()
    }

    /// How many rows were used as `context`, `train` or `test`.
    pub fn rows(&self, context: &str) -> u64 {
        self.datasets.iter().find(|input| input.context == context).map_or(0, |input| input.rows)
    }

    /// The final value of the metric called `key`.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.iter().find(|point| point.key == key && point.step == 0).map(|point| point.value)
    }
}

/// Which run it is and who made it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunIdentity {
    /// 32 hexadecimal digits, chosen by the program: recording a run twice doubles nothing.
    pub run_id: String,
    /// A name to read in lists.
    pub run_name: String,
    /// Who ran it, if the system tells.
    pub user: Option<String>,
    /// The program.
    pub source: String,
    /// The commit checked out where it ran, if any.
    pub commit: Option<String>,
    /// The branch checked out where it ran, if any.
    pub branch: Option<String>,
}

/// How far a run got.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It is under way.
    Running,
    /// It came to its end.
    #[default]
    Finished,
    /// It ended with an error, which is its note.
    Failed,
}

/// A figure at a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MetricPoint {
    /// Its name.
    pub key: String,
    /// Its value.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    /// 0 for final figures, 1.. for folds.
    pub step: u32,
}

/// JSON has no NaN; serde writes null for it.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(|value| value.unwrap_or(f64::NAN))
}

/// An interval around a metric.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Interval {
    /// The 2.5 % quantile.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// What a model owes to a raw column.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ColumnImportance {
    /// The column.
    pub column: String,
    /// By how much the mean absolute error on test rows grows when the column is shuffled among them, in the target's unit.
    pub mean: f64,
    /// Its standard deviation over repeats.
    pub deviation: f64,
}

/// Something that lets a score look better than it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LeakageRecord {
    /// A feature, or `copied rows`.
    pub subject: String,
    /// What the target owes to the feature alone (R²), or the share of test rows that are copies.
    #[serde(rename = "figure")]
    pub value: f64,
    /// In words.
    pub text: String,
}

/// Rows that a run used.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DatasetInput {
    /// `train` or `test`.
    pub context: String,
    /// The featured file.
    pub source: FileEntry,
    /// How many rows.
    pub rows: u64,
    /// The fingerprint of the raw table's schema.
    pub schema: String,
    /// The columns that were read, the target last; all are numbers.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// A file of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RunArtifact {
    /// Its place among the run's artifacts, such as `model/model.bin`.
    #[serde(default)]
    pub place: String,
    /// Where it was written, relative to the record's folder; its place, if it is only among the run's artifacts.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// When a run began and how long its parts took.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RunTimes {
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at_ms: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub ended_at_ms: u64,
    /// Milliseconds spent fitting the final model.
    pub fit_ms: u64,
    /// Milliseconds spent on cross-validation.
    pub cross_validation_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_older_versions_are_read_and_a_newer_one_refused() {
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
        assert!(RunRecord::parse("{").unwrap_err().starts_with("is not the record of a run: "));
    }
}
