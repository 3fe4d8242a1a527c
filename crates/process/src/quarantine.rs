//! The file of rows that break the schema.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

use anyhow::Context;
use artifact::AtomicFile;
use frame::Rejected;
use schema::Rule;
use serde::Serialize;

/// How many rows are shown in the report.
const SAMPLES: usize = 10;

/// Writes quarantined rows and counts them by column.
pub(crate) struct Quarantine {
    file: AtomicFile,
    summary: QuarantineSummary,
    reasons: Reasons,
}

/// Per rule and column at fault how many rows there are, and the first of them.
pub(crate) type Reasons = HashMap<(Rule, String), (u64, Sample)>;

/// A quarantined row in the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) line: u64,
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) reason: String,
}

impl Sample {
    fn of(rejected: &Rejected) -> Self {
        let Rejected { line, column, value, reason, .. } = rejected.clone();
        Self { line, column, value, reason }
    }
}

impl Quarantine {
    /// Opens the file, header written.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(frame::REJECTED_HEADER.as_bytes()).with_context(|| format!("{}: cannot write it", path.display()))?;
        Ok(Self { file, summary: QuarantineSummary::default(), reasons: Reasons::new() })
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
                self.summary.samples.push(Sample::of(rejected));
            }
            let reason = self.reasons.entry((rejected.rule, rejected.column.clone()));
            reason.or_insert_with(|| (0, Sample::of(rejected))).0 += 1;
        }
        let text = frame::rejected_csv(rejected)?;
        self.file.write_all(&text).with_context(|| format!("{}: cannot write it", self.file.destination().display()))
    }

    /// How many rows were quarantined.
    pub(crate) fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// The file, still to be committed, what the report says of it, and why rows are in it.
    pub(crate) fn finish(self) -> (AtomicFile, QuarantineSummary, Reasons) {
        (self.file, self.summary, self.reasons)
    }
}

/// How many reasons are named.
const NAMED_REASONS: usize = 3;

/// The most frequent reasons, a line each: how many rows, where, an example, and what to do.
pub(crate) fn most_frequent(reasons: &Reasons) -> String {
    let mut ranked: Vec<_> = reasons.iter().collect();
    ranked.sort_by_key(|((rule, column), (rows, _))| (std::cmp::Reverse(*rows), *rule, column.clone()));
    let mut lines: Vec<String> = ranked
        .iter()
        .take(NAMED_REASONS)
        .map(|((rule, column), (rows, first))| {
            let place = if column.is_empty() { String::new() } else { format!("column \"{column}\": ") };
            format!(
                "  {rows} rows: {place}{} (line {}: {}); {}",
                rule.description(),
                first.line,
                first.reason,
                rule.advice(column)
            )
        })
        .collect();
    let rest: u64 = ranked.iter().skip(NAMED_REASONS).map(|(_, (rows, _))| rows).sum();
    if rest > 0 {
        lines.push(format!("  {rest} rows for other reasons"));
    }
    lines.join("\n")
}

/// What the report says of the quarantine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct QuarantineSummary {
    pub(crate) rows: u64,
    /// Per column at fault how many rows; the empty name stands for records that are not well formed.
    pub(crate) by_column: BTreeMap<String, u64>,
    pub(crate) samples: Vec<Sample>,
}
