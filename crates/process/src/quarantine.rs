//! The file of invalid rows.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

use anyhow::Context;
use artifact::AtomicFile;
use schema::Rule;
use serde::Serialize;
use table_io::Rejected;

/// Largest number of rows in the report.
const MAX_SAMPLES: usize = 10;

/// Writes invalid rows and counts them by column.
pub(crate) struct Quarantine {
    file: AtomicFile,
    summary: QuarantineSummary,
    reasons: Reasons,
}

/// Number of rows and the first of them, by rule and column.
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
    fn from_rejected(rejected: &Rejected) -> Self {
        let Rejected { line, column, value, reason, .. } = rejected.clone();
        Self { line, column, value, reason }
    }
}

impl Quarantine {
    /// Creates the file with its header.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(table_io::QUARANTINE_HEADER.as_bytes())
            .with_context(|| format!("{}: cannot write it", path.display()))?;
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
            if self.summary.samples.len() < MAX_SAMPLES {
                self.summary.samples.push(Sample::from_rejected(rejected));
            }
            let reason = self.reasons.entry((rejected.rule, rejected.column.clone()));
            reason.or_insert_with(|| (0, Sample::from_rejected(rejected))).0 += 1;
        }
        let text = table_io::rejected_csv(rejected);
        self.file.write_all(&text).with_context(|| format!("{}: cannot write it", self.file.destination().display()))
    }

    /// Number of quarantined rows.
    pub(crate) fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// The file, to be committed later, its summary for the report, and the reasons.
    pub(crate) fn finish(self) -> (AtomicFile, QuarantineSummary, Reasons) {
        (self.file, self.summary, self.reasons)
    }
}

/// Largest number of reasons in a message.
const MAX_REASONS_LISTED: usize = 3;

/// The most frequent reasons, one per line: number of rows, column, example and advice.
pub(crate) fn most_frequent(reasons: &Reasons) -> String {
    let mut ranked: Vec<_> = reasons.iter().collect();
    ranked.sort_by_key(|((rule, column), (rows, _))| (std::cmp::Reverse(*rows), *rule, column.clone()));
    let mut lines: Vec<String> = ranked
        .iter()
        .take(MAX_REASONS_LISTED)
        .map(|((rule, column), (rows, first))| {
            let place = if column.is_empty() { String::new() } else { format!("column \"{column}\": ") };
            format!(
                "  {rows} {}: {place}{} (line {}: {}); {}",
                if *rows == 1 { "row" } else { "rows" },
                rule.description(),
                first.line,
                first.reason,
                rule.advice(column)
            )
        })
        .collect();
    let rest: u64 = ranked.iter().skip(MAX_REASONS_LISTED).map(|(_, (rows, _))| rows).sum();
    if rest > 0 {
        lines.push(format!("  {rest} rows for other reasons"));
    }
    lines.join("\n")
}

/// Summary of the quarantine for the report.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct QuarantineSummary {
    pub(crate) rows: u64,
    /// Number of rows by column; the empty name is for malformed records.
    pub(crate) by_column: BTreeMap<String, u64>,
    pub(crate) samples: Vec<Sample>,
}
