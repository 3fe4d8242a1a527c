//! `train predict`: the command of [`batch_prediction`], with Parquet.

use batch_prediction::{Parquet, PredictArgs};
use cli::{Outcome, Progress};

use crate::commands::parquet_table::{ParquetSink, ParquetSource};

/// Predicts the target of every valid row of a file.
///
/// # Errors
/// As [`batch_prediction::predict`].
pub(crate) fn predict(args: &PredictArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let parquet = Parquet {
        open: |path, model| Ok(Box::new(ParquetSource::open(path, model)?)),
        write: |path, out, columns| Ok(Box::new(ParquetSink::create(path, out, columns)?)),
    };
    table_io::on_shared_threads(|| batch_prediction::predict(args, progress, Some(parquet)))
}
