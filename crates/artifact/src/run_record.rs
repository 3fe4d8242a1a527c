//! A training run as plain data, for any store that keeps runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FileEntry;

/// The record's format version.
pub const RUN_RECORD_VERSION: u32 = 1;

/// One training run: what went in, what was asked, what came out.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RunRecord {
    /// [`RUN_RECORD_VERSION`].
    pub format_version: u32,
    /// The model's name, under which runs are gathered.
    pub name: String,
    /// The algorithm, its parameters as used, the seed, the feature set: everything that was chosen.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Every measured figure; final ones at step 0, folds at their number.
    pub metrics: Vec<MetricPoint>,
    /// 95 % bootstrap intervals of the test metrics.
    pub intervals: BTreeMap<String, Interval>,
    /// Facts to search by: algorithm, commit, program and library versions.
    pub tags: BTreeMap<String, String>,
    /// The rows that were learned from and measured on.
    pub datasets: Vec<DatasetInput>,
    /// The features in the order in which the model takes them.
    pub features: Vec<String>,
    /// The files the run wrote, by path relative to the record's folder.
    pub artifacts: Vec<FileEntry>,
    /// What the run was not able to honour, in words.
    pub warnings: Vec<String>,
    /// When it ran.
    pub times: RunTimes,
}

impl RunRecord {
    /// The final value of the metric called `key`.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.iter().find(|point| point.key == key && point.step == 0).map(|point| point.value)
    }
}

/// A figure at a step.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MetricPoint {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: f64,
    /// 0 for final figures, 1.. for folds.
    pub step: u32,
}

/// An interval around a metric.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Interval {
    /// The 2.5 % quantile.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
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
