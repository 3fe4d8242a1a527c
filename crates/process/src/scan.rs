//! The first pass: parse, judge, identify, spill.

use std::path::Path;

use anyhow::Context;
use cli::Progress;
use frame::{Block, Checked, CheckedColumn, Rejected, Source, TargetColumn};
use polars::prelude::*;
use rayon::prelude::*;
use schema::{SPLIT_COLUMN, TEST, TRAIN};

use crate::{
    Config,
    duplicates::Identities,
    identity::{Identity, identify},
    quarantine::Quarantine,
    spill::Spill,
};

/// What the first pass found.
pub(crate) struct Scan {
    pub(crate) rows_in: u64,
    pub(crate) without_target: u64,
    /// The first lines without a target.
    pub(crate) without_target_lines: Vec<u64>,
    pub(crate) spill: Spill,
    pub(crate) identities: Identities,
    pub(crate) quarantine: Quarantine,
}

struct Judged {
    rows: u64,
    rejected: Vec<Rejected>,
    without_target: Vec<u64>,
    frame: DataFrame,
    identities: Vec<Identity>,
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
        spill: Spill::create(folder)?,
        identities: Identities::create(folder).with_context(|| format!("{}: cannot write there", folder.display()))?,
    };
    let mut bar = progress.bar("reading", source.bytes() / frame::BLOCK_BYTES as u64);
    loop {
        let blocks = source.next_blocks(rayon::current_num_threads() * 2)?;
        if blocks.is_empty() {
            break;
        }
        let judged: Vec<Judged> = blocks.par_iter().map(|block| judge(block, config)).collect::<anyhow::Result<_>>()?;
        for mut judged in judged {
            scan.rows_in += judged.rows;
            scan.quarantine.push(&judged.rejected)?;
            scan.without_target += judged.without_target.len() as u64;
            let room = 10usize.saturating_sub(scan.without_target_lines.len());
            scan.without_target_lines.extend(judged.without_target.iter().take(room));
            for identity in &judged.identities {
                scan.identities.push(identity.content).context("writing a temporary file beside the output")?;
            }
            scan.spill.push(&mut judged.frame)?;
            bar.advance(1);
        }
    }
    if scan.rows_in == 0 {
        return Err(frame::FrameError::NoRows { path: config.input.clone() }.into());
    }
    Ok(scan)
}

fn judge(block: &Block, config: &Config) -> anyhow::Result<Judged> {
    let checked = block.check(&config.schema, false)?;
    let target = &checked.columns[config.schema.target_index()];
    let Some(CheckedColumn::Number(target)) = target else { anyhow::bail!("the target is not a column of numbers") };
    let kept: Vec<bool> = checked.good.iter().zip(target).map(|(good, target)| *good && !target.is_nan()).collect();
    let without_target: Vec<u64> =
        (0..kept.len()).filter(|row| checked.good[*row] && !kept[*row]).map(|row| checked.lines[row]).collect();
    let split = &config.process.split;
    let identities = identify(&checked, &kept, config.key, split.seed, split.test);
    let frame = with_split(&checked, config, &kept, &identities)?;
    let rows = identities.len() + without_target.len() + checked.rejected.len();
    Ok(Judged { rows: rows as u64, rejected: checked.rejected, without_target, frame, identities })
}

fn with_split(checked: &Checked, config: &Config, kept: &[bool], identities: &[Identity]) -> anyhow::Result<DataFrame> {
    let mut frame = checked.to_frame(&config.schema, kept)?;
    let sides = identities.iter().map(|identity| if identity.test { TEST } else { TRAIN });
    let split: StringChunked = sides.map(Some).collect();
    frame.with_column(split.with_name(SPLIT_COLUMN.into()).into_column())?;
    Ok(frame)
}
