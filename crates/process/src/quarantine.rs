//! The file of rows that break the schema.

use std::{collections::BTreeMap, fmt, io::Write, path::Path};

use anyhow::Context;
use artifact::AtomicFile;
use frame::Rejected;
use serde::Serialize;

/// How many rows are shown in the report.
const SAMPLES: usize = 10;

/// Writes quarantined rows and counts them by column.
pub(crate) struct Quarantine {
    file: AtomicFile,
    summary: QuarantineSummary,
}

/// A quarantined row in the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) line: u64,
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) reason: String,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.column.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.reason),
            column => write!(f, "line {}, column \"{column}\": {}", self.line, self.reason),
        }
    }
}

impl Quarantine {
    /// Opens the file, header written.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(frame::REJECTED_HEADER.as_bytes()).with_context(|| format!("{}: cannot write it", path.display()))?;
        Ok(Self { file, summary: QuarantineSummary::default() })
    }

    /// Adds rows.
    pub(crate) fn push(&mut self, rejected: &[Rejected]) -> anyhow::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        self.summary.rows += rejected.len() as u64;
        for rejected in rejected {
            *self.summary.by_column.entry(rejected.column.clone()).or_default() += 1;
            if self.summary.samples.len() < SAMPLES {
                let Rejected { line, column, value, reason, .. } = rejected.clone();
                self.summary.samples.push(Sample { line, column, value, reason });
            }
        }
        let text = frame::rejected_csv(rejected)?;
        self.file.write_all(&text).with_context(|| format!("{}: cannot write it", self.file.destination().display()))
    }

    /// How many rows were quarantined.
    pub(crate) fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// The file, still to be committed, and what the report says of it.
    pub(crate) fn finish(self) -> (AtomicFile, QuarantineSummary) {
        (self.file, self.summary)
    }
}

/// What the report says of the quarantine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct QuarantineSummary {
    pub(crate) rows: u64,
    /// Per column at fault how many rows; the empty name stands for records that are not well formed.
    pub(crate) by_column: BTreeMap<String, u64>,
    pub(crate) samples: Vec<Sample>,
}
