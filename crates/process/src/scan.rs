//! First pass over the raw table: parse, validate, and assign rows to a split.

use std::path::Path;

use anyhow::Context;
use cli::Progress;
use table_io::{Block, CheckedColumn, Rejected, TableSource};

use crate::{
    config::Config,
    duplicates::Duplicates,
    quarantine::Quarantine,
    row_store::{RowStore, ValidRows},
    split::{RowIdentities, assign_split},
};

/// Largest number of lines without a target in the report.
const MAX_LINES_LISTED: usize = 10;

/// Results of the first pass.
pub(crate) struct Scan {
    pub(crate) rows_in: u64,
    pub(crate) without_target: u64,
    /// First lines without a target.
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) store: RowStore,
    pub(crate) duplicates: Duplicates,
    pub(crate) quarantine: Quarantine,
}

struct CheckedRows {
    rejected: Vec<Rejected>,
    without_target: Vec<u64>,
    rows: ValidRows,
    content: Vec<u128>,
}

/// Reads the raw table.
pub(crate) fn scan(config: &Config, progress: &Progress) -> anyhow::Result<Scan> {
    let mut source = TableSource::open(&config.input)?;
    source.check_header(&config.schema, schema::TargetColumn::Required)?;
    let folder = config.output.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut scan = Scan {
        rows_in: 0,
        without_target: 0,
        without_target_lines: Vec::new(),
        quarantine: Quarantine::create(&config.quarantine)?,
        store: RowStore::create(folder)?,
        duplicates: Duplicates::create(folder).with_context(|| format!("{}: cannot write there", folder.display()))?,
    };
    let expected = source.expected_blocks();
    let bar = progress.bar("reading", expected);
    source.for_each_block(
        |block| validate_block(block, config),
        |checked_blocks| {
            if let (0, Some(first)) = (scan.rows_in, checked_blocks.first()) {
                scan.duplicates.reserve(first.content.len() * expected as usize);
            }
            bar.advance(checked_blocks.len() as u64);
            checked_blocks.into_iter().try_for_each(|rows| scan.add(rows))
        },
    )?;
    if scan.rows_in == 0 {
        return Err(table_io::FrameError::NoRows { path: config.input.clone() }.into());
    }
    Ok(scan)
}

impl Scan {
    fn add(&mut self, block: CheckedRows) -> anyhow::Result<()> {
        let CheckedRows { rejected, without_target, rows, content } = block;
        self.rows_in += (rejected.len() + without_target.len() + content.len()) as u64;
        self.without_target += without_target.len() as u64;
        let remaining = MAX_LINES_LISTED.saturating_sub(self.without_target_lines.len());
        self.without_target_lines.extend(without_target.iter().take(remaining));
        self.quarantine.push(&rejected)?;
        for identity in content {
            self.duplicates.push(identity).context("writing a temporary file beside the output")?;
        }
        self.store.push(rows)
    }
}

fn validate_block(block: &Block, config: &Config) -> anyhow::Result<CheckedRows> {
    let checked = block.validate(&config.schema, false)?;
    let target = &checked.columns[config.schema.target_index()];
    let Some(CheckedColumn::Number(target)) = target else { anyhow::bail!("the target is not numeric") };
    let kept: Vec<bool> = checked.good.iter().zip(target).map(|(good, target)| *good && !target.is_nan()).collect();
    let good_rows = (0..kept.len()).filter(|row| checked.good[*row]);
    let without_target = good_rows.filter(|row| !kept[*row]).map(|row| checked.lines[row]).collect();
    let split = &config.process.split;
    let RowIdentities { content, test } = assign_split(&checked, &kept, config.key, split.seed, split.test);
    Ok(CheckedRows {
        rejected: checked.rejected,
        without_target,
        rows: ValidRows { columns: checked.columns, kept, test },
        content,
    })
}
