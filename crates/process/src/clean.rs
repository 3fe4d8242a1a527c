//! Second pass: removes duplicates and outliers, writes the other rows, and profiles them.

use artifact::AtomicFile;
use cli::Progress;
use polars::prelude::*;
use rayon::prelude::*;
use schema::{SPLIT_COLUMN, TEST, TRAIN};
use summary::Quantiles;
use table_io::TableWriter;

use crate::{
    config::Config,
    outliers::Bounds,
    profile::{Profile, ProfileBatch},
    row_store::{RowStore, ValidRows},
};

/// Results of the second pass.
pub(crate) struct CleanSummary {
    pub(crate) duplicates: u64,
    pub(crate) trimmed: u64,
    pub(crate) train: u64,
    pub(crate) test: u64,
    pub(crate) bounds: Vec<Bounds>,
    pub(crate) profile: Profile,
}

/// Writes the cleaned table to a temporary file, to be committed later. `duplicate` has an entry for each kept row, in order.
pub(crate) fn clean(
    config: &Config,
    store: &RowStore,
    duplicate: &[bool],
    progress: &Progress,
) -> anyhow::Result<(AtomicFile, CleanSummary)> {
    let bounds = fit_outlier_bounds(config, store, duplicate)?;
    let mut file = AtomicFile::create(&config.output)?;
    let mut writer = TableWriter::new(&config.output, &mut file)?;
    let mut summary =
        CleanSummary { duplicates: 0, trimmed: 0, train: 0, test: 0, bounds, profile: Profile::new(&config.schema) };
    let bar = progress.bar("writing", duplicate.len() as u64);
    let mut first = 0;
    store.visit(rayon::current_num_threads() * 4, |blocks| {
        let chosen: Vec<Vec<usize>> =
            blocks.iter().map(|rows| summary.choose(config, rows, duplicate, &mut first)).collect();
        let frame = |(rows, chosen): (&&ValidRows, &Vec<usize>)| to_data_frame(config, rows, chosen);
        let batches: Vec<ProfileBatch> =
            blocks.iter().zip(&chosen).map(|(rows, chosen)| ProfileBatch { rows, chosen }).collect();
        let (written, ()) = rayon::join(
            || {
                let frames = blocks.par_iter().zip(&chosen).map(frame).collect::<anyhow::Result<Vec<_>>>()?;
                Ok::<_, anyhow::Error>(writer.write(&frames)?)
            },
            || summary.profile.update(&batches),
        );
        bar.advance(chosen.iter().map(|chosen| chosen.len() as u64).sum());
        written
    })?;
    writer.finish()?;
    Ok((file, summary))
}

impl CleanSummary {
    /// The rows of a block that are written; counts the others.
    fn choose(&mut self, config: &Config, rows: &ValidRows, duplicate: &[bool], first: &mut usize) -> Vec<usize> {
        let fenced: Vec<(&Bounds, &[f64])> =
            self.bounds.iter().map(|bound| (bound, rows.numbers(config.index_of(&bound.column)))).collect();
        let mut chosen = Vec::with_capacity(rows.kept.len());
        for row in (0..rows.kept.len()).filter(|row| rows.kept[*row]) {
            let train = !rows.test[row];
            if duplicate[*first] {
                self.duplicates += 1;
            } else if train && fenced.iter().any(|(bound, values)| !bound.contains(values[row])) {
                self.trimmed += 1;
            } else {
                self.train += u64::from(train);
                self.test += u64::from(!train);
                chosen.push(row);
            }
            *first += 1;
        }
        chosen
    }
}

/// Fits the outlier bounds to the training rows that are not duplicates.
fn fit_outlier_bounds(config: &Config, store: &RowStore, duplicate: &[bool]) -> anyhow::Result<Vec<Bounds>> {
    let Some(bounds) = &config.bounds else { return Ok(Vec::new()) };
    let mut counted = vec![Quantiles::default(); bounds.columns.len()];
    let mut first = 0;
    store.visit(1, |blocks| {
        for rows in blocks {
            let kept: Vec<usize> = (0..rows.kept.len()).filter(|row| rows.kept[*row]).collect();
            for (quantiles, column) in counted.iter_mut().zip(&bounds.columns) {
                let values = rows.numbers(config.index_of(column));
                for (row, duplicate) in kept.iter().zip(&duplicate[first..]) {
                    if !duplicate && !rows.test[*row] && !values[*row].is_nan() {
                        quantiles.add(values[*row]);
                    }
                }
            }
            first += kept.len();
        }
        Ok(())
    })?;
    Ok(bounds.fit(&counted))
}

fn to_data_frame(config: &Config, rows: &ValidRows, chosen: &[usize]) -> anyhow::Result<DataFrame> {
    let mut frame = table_io::to_data_frame(&config.schema, &rows.columns, chosen)?;
    let sides = chosen.iter().map(|row| Some(if rows.test[*row] { TEST } else { TRAIN }));
    let split = StringChunked::from_iter_options(SPLIT_COLUMN.into(), sides);
    frame.with_column(split.into_column())?;
    Ok(frame)
}
