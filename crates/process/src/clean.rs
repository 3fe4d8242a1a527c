//! The second pass: leave out duplicates and what lies beyond the fences, write the rest, and profile it.

use artifact::AtomicFile;
use cli::Progress;
use frame::TableWriter;
use polars::prelude::*;
use schema::{Quantiles, SPLIT_COLUMN, TRAIN};

use crate::{
    Config,
    profile::Profile,
    spill::Spill,
    trim::{Fence, numbers},
};

/// What the second pass wrote.
pub(crate) struct Cleaned {
    pub(crate) file: AtomicFile,
    pub(crate) duplicates: u64,
    pub(crate) trimmed: u64,
    pub(crate) train: u64,
    pub(crate) test: u64,
    pub(crate) fences: Vec<Fence>,
    pub(crate) profile: Profile,
}

/// Writes the cleaned table under a temporary name.
pub(crate) fn clean(config: &Config, spill: &Spill, duplicate: &[bool], progress: &Progress) -> anyhow::Result<Cleaned> {
    let fences = place_fences(config, spill, duplicate)?;
    let file = AtomicFile::create(&config.output)?;
    let mut writer = TableWriter::new(&config.output, file.file().try_clone()?)?;
    let mut cleaned =
        Cleaned { file, duplicates: 0, trimmed: 0, train: 0, test: 0, fences, profile: Profile::new(&config.schema) };
    let mut bar = progress.bar("writing", duplicate.len() as u64);
    let mut first = 0;
    spill.visit(None, |frame| {
        let rows = frame.height();
        let train = train_mask(&frame)?;
        let fenced: Vec<(&Fence, Vec<f64>)> =
            cleaned.fences.iter().map(|fence| (fence, numbers(&frame, &fence.column))).collect();
        let mut keep = vec![true; rows];
        for row in 0..rows {
            if duplicate[first + row] {
                cleaned.duplicates += 1;
                keep[row] = false;
            } else if train[row] && fenced.iter().any(|(fence, values)| !fence.holds(values[row])) {
                cleaned.trimmed += 1;
                keep[row] = false;
            } else if train[row] {
                cleaned.train += 1;
            } else {
                cleaned.test += 1;
            }
        }
        first += rows;
        let frame = if keep.contains(&false) { frame.filter(&keep.into_iter().collect::<BooleanChunked>())? } else { frame };
        let train = train_mask(&frame)?;
        let (written, ()) = rayon::join(|| writer.write(&frame), || cleaned.profile.update(&frame, &train));
        bar.advance(rows as u64);
        Ok(written?)
    })?;
    writer.finish()?;
    Ok(cleaned)
}

/// The fences around the training rows that are not duplicates.
fn place_fences(config: &Config, spill: &Spill, duplicate: &[bool]) -> anyhow::Result<Vec<Fence>> {
    let Some(fences) = &config.fences else { return Ok(Vec::new()) };
    let mut counted = vec![Quantiles::default(); fences.columns.len()];
    let mut first = 0;
    let mut columns = fences.columns.clone();
    columns.push(SPLIT_COLUMN.into());
    spill.visit(Some(columns), |frame| {
        let train = train_mask(&frame)?;
        for (quantiles, column) in counted.iter_mut().zip(&fences.columns) {
            let values = numbers(&frame, column);
            let learned =
                values.iter().enumerate().filter(|(row, value)| train[*row] && !duplicate[first + row] && !value.is_nan());
            learned.for_each(|(_, value)| quantiles.add(*value));
        }
        first += frame.height();
        Ok(())
    })?;
    Ok(fences.place(&counted))
}

fn train_mask(frame: &DataFrame) -> PolarsResult<Vec<bool>> {
    Ok(frame.column(SPLIT_COLUMN)?.str()?.iter().map(|side| side == Some(TRAIN)).collect())
}
