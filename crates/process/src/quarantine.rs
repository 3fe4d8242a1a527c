//! The file of rows that break the schema.

use std::{collections::BTreeMap, path::Path};

use artifact::AtomicFile;
use frame::{Rejected, TableWriter};
use polars::prelude::*;
use serde::Serialize;

/// How many rows are shown in the report.
const SAMPLES: usize = 10;

/// Writes quarantined rows and counts them by column.
pub(crate) struct Quarantine {
    pub(crate) file: AtomicFile,
    writer: TableWriter,
    pub(crate) rows: u64,
    /// Per column at fault how many rows; the empty name stands for records that are not well formed.
    pub(crate) by_column: BTreeMap<String, u64>,
    pub(crate) samples: Vec<Sample>,
}

/// A quarantined row in the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    line: u64,
    column: String,
    value: String,
    reason: String,
}

impl Quarantine {
    /// Opens the file, header written.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = AtomicFile::create(path)?;
        let mut writer = TableWriter::new(path, file.file().try_clone()?)?;
        writer.write(&to_frame(&[])?)?;
        Ok(Self { file, writer, rows: 0, by_column: BTreeMap::new(), samples: Vec::new() })
    }

    /// Adds rows.
    pub(crate) fn push(&mut self, rejected: &[Rejected]) -> anyhow::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        self.rows += rejected.len() as u64;
        for rejected in rejected {
            *self.by_column.entry(rejected.column.clone()).or_default() += 1;
            if self.samples.len() < SAMPLES {
                let Rejected { line, column, value, reason, .. } = rejected.clone();
                self.samples.push(Sample { line, column, value, reason });
            }
        }
        Ok(self.writer.write(&to_frame(rejected)?)?)
    }

    /// Ends the file; it is still to be committed.
    pub(crate) fn finish(self) -> anyhow::Result<(AtomicFile, QuarantineSummary)> {
        self.writer.finish()?;
        let Self { file, rows, by_column, samples, .. } = self;
        Ok((file, QuarantineSummary { rows, by_column, samples }))
    }
}

/// What the report says of the quarantine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuarantineSummary {
    pub(crate) rows: u64,
    /// Per column at fault how many rows; the empty name stands for records that are not well formed.
    pub(crate) by_column: BTreeMap<String, u64>,
    pub(crate) samples: Vec<Sample>,
}

fn to_frame(rejected: &[Rejected]) -> PolarsResult<DataFrame> {
    let text = |name: &str, of: &dyn Fn(&Rejected) -> &str| -> Column {
        let cells: Vec<&str> = rejected.iter().map(of).collect();
        Column::new(name.into(), cells)
    };
    let lines: Vec<i64> = rejected.iter().map(|rejected| rejected.line as i64).collect();
    DataFrame::new(
        rejected.len(),
        vec![
            Column::new("line".into(), lines),
            text("column", &|rejected| &rejected.column),
            text("value", &|rejected| &rejected.value),
            text("reason", &|rejected| &rejected.reason),
            text("record", &|rejected| &rejected.record),
        ],
    )
}
