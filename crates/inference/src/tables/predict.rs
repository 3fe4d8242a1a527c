//! From a source to a sink: blocks are read ahead, predicted on all threads, and written in order.

use csv_records::{QUARANTINE_HEADER, QuarantinedRow, push_quarantined};
use rayon::prelude::*;

use crate::{
    loaded_model::LoadedModel,
    tables::{
        block::{PredictedBlock, RowBlock, RowSink, RowSource},
        header::TableOptions,
        named_writer::NamedWriter,
        predicted_block::BlockPredictor,
    },
};

/// Blocks for each thread that are read together.
const BLOCKS_PER_THREAD: usize = 4;

/// What became of the rows of a table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TableCounts {
    /// Rows with a prediction.
    pub rows: u64,
    /// Rows in the quarantine.
    pub quarantined: u64,
    /// Cells with a level that is not in the training data, in rows with a prediction.
    pub unknown_levels: u64,
}

/// Predicts the rows of `source`. Valid rows go to `sink`, the others to `quarantine`; `advance` is called with the number of blocks that are
/// done. Reading ahead, predicting, and writing the blocks before go on side by side.
///
/// # Errors
/// If the source cannot be read on, or something cannot be written.
pub fn predict_table(
    model: &LoadedModel,
    source: &mut dyn RowSource,
    sink: &mut dyn RowSink,
    quarantine: &mut NamedWriter,
    options: TableOptions,
    advance: &mut (dyn FnMut(u64) + Send),
) -> anyhow::Result<TableCounts> {
    quarantine.write(QUARANTINE_HEADER.as_bytes())?;
    let names = source.names().to_vec();
    let predictor = BlockPredictor::new(model, &names, options);
    let ahead = rayon::current_num_threads() * BLOCKS_PER_THREAD;
    let mut counts = TableCounts::default();
    let mut write = |done: Vec<PredictedBlock>| -> anyhow::Result<()> {
        let mut records = Vec::new();
        for predicted in &done {
            counts.rows += predicted.rows.len() as u64;
            counts.quarantined += predicted.quarantined.len() as u64;
            counts.unknown_levels += predicted.unknown_levels;
            for row in &predicted.quarantined {
                let (column, value, reason, record) = (&row.column, &row.value, &row.reason, &row.record);
                push_quarantined(&mut records, QuarantinedRow { line: row.line, column, value, reason, record });
            }
        }
        quarantine.write(&records)?;
        sink.write(&done)?;
        advance(done.len() as u64);
        Ok(())
    };
    let mut blocks = next_blocks(source, ahead)?;
    let mut done: Vec<PredictedBlock> = Vec::new();
    while !blocks.is_empty() || !done.is_empty() {
        let (next, (predicted, written)) = rayon::join(
            || next_blocks(source, ahead),
            || {
                let predict = || blocks.into_par_iter().map(|block| predictor.predict(block)).collect::<Vec<_>>();
                rayon::join(predict, || write(done))
            },
        );
        written?;
        (blocks, done) = (next?, predicted);
    }
    sink.finish()?;
    Ok(counts)
}

/// Up to `count` more blocks; none at the end.
fn next_blocks(source: &mut dyn RowSource, count: usize) -> anyhow::Result<Vec<Box<dyn RowBlock>>> {
    std::iter::from_fn(|| source.next_block().transpose()).take(count).collect()
}
