//! The first pass: parse, judge, identify.

use std::path::Path;

use anyhow::Context;
use cli::Progress;
use frame::{Block, CheckedColumn, Rejected, Source, TargetColumn};

use crate::{
    config::Config,
    duplicates::Duplicates,
    quarantine::Quarantine,
    row_store::{Rows, Store},
    split::{Identities, identify},
};

/// How many lines without a target are named in the report.
const NAMED_LINES: usize = 10;

/// What the first pass found.
pub(crate) struct Scan {
    pub(crate) rows_in: u64,
    pub(crate) without_target: u64,
    /// The first lines without a target.
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) store: Store,
    pub(crate) duplicates: Duplicates,
    pub(crate) quarantine: Quarantine,
}

struct Judged {
    rejected: Vec<Rejected>,
    without_target: Vec<u64>,
    rows: Rows,
    content: Vec<u128>,
}

/// Reads the whole raw table.
pub(crate) fn scan(config: &Config, progress: &Progress) -> anyhow::Result<Scan> {
    let mut source = Source::open(&config.input)?;
    frame::check_header(&config.input, source.header_line(), source.names(), &config.schema, TargetColumn::Required)?;
    let folder = config.output.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut scan = Scan {
        rows_in: 0,
        without_target: 0,
        without_target_lines: Vec::new(),
        quarantine: Quarantine::create(&config.quarantine)?,
        store: Store::create(folder)?,
        duplicates: Duplicates::create(folder).with_context(|| format!("{}: cannot write there", folder.display()))?,
    };
    let expected = source.expected_blocks();
    let bar = progress.bar("reading", expected);
    source.for_each_block(
        |block| judge(block, config),
        |judged| {
            if let (0, Some(first)) = (scan.rows_in, judged.first()) {
                scan.duplicates.reserve(first.content.len() * expected as usize);
            }
            bar.advance(judged.len() as u64);
            judged.into_iter().try_for_each(|judged| scan.take(judged))
        },
    )?;
    if scan.rows_in == 0 {
        return Err(frame::FrameError::NoRows { path: config.input.clone() }.into());
    }
    Ok(scan)
}

impl Scan {
    fn take(&mut self, judged: Judged) -> anyhow::Result<()> {
        let Judged { rejected, without_target, rows, content } = judged;
        self.rows_in += (rejected.len() + without_target.len() + content.len()) as u64;
        self.without_target += without_target.len() as u64;
        let room = NAMED_LINES.saturating_sub(self.without_target_lines.len());
        self.without_target_lines.extend(without_target.iter().take(room));
        self.quarantine.push(&rejected)?;
        for identity in content {
            self.duplicates.push(identity).context("writing a temporary file beside the output")?;
        }
        self.store.push(rows)
    }
}

fn judge(block: &Block, config: &Config) -> anyhow::Result<Judged> {
    let checked = block.check(&config.schema, false)?;
    let target = &checked.columns[config.schema.target_index()];
    let Some(CheckedColumn::Number(target)) = target else { anyhow::bail!("the target is not a column of numbers") };
    let kept: Vec<bool> = checked.good.iter().zip(target).map(|(good, target)| *good && !target.is_nan()).collect();
    let good_rows = (0..kept.len()).filter(|row| checked.good[*row]);
    let without_target = good_rows.filter(|row| !kept[*row]).map(|row| checked.lines[row]).collect();
    let split = &config.process.split;
    let Identities { content, test } = identify(&checked, &kept, config.key, split.seed, split.test);
    Ok(Judged { rejected: checked.rejected, without_target, rows: Rows { columns: checked.columns, kept, test }, content })
}
