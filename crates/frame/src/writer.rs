//! Writes a table batch by batch.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use polars::{io::parquet::write::BatchedWriter, prelude::*};
use rayon::prelude::*;

use crate::{error::FrameError, format::Format};

/// An open output. The columns of the first batch are the table's.
pub struct TableWriter<'a> {
    path: PathBuf,
    format: Format,
    state: State<'a>,
}

type Output<'a> = &'a mut (dyn Write + Send);

enum State<'a> {
    Unopened(Output<'a>),
    Csv(Output<'a>),
    Parquet(Box<BatchedWriter<Output<'a>>>),
    Failed,
}

impl<'a> TableWriter<'a> {
    /// A writer into `out`, in the format that `path` names (errors name it too).
    ///
    /// # Errors
    /// If the name has neither extension.
    pub fn new(path: &Path, out: Output<'a>) -> Result<Self, FrameError> {
        Ok(Self { path: path.to_owned(), format: Format::of(path)?, state: State::Unopened(out) })
    }

    /// Writes batches in order. Every batch must have the columns of the first.
    ///
    /// # Errors
    /// If the disk is full or the columns differ.
    pub fn write(&mut self, frames: &[DataFrame]) -> Result<(), FrameError> {
        let Some(first) = frames.first() else { return Ok(()) };
        let path = self.path.clone();
        let fault = |error: PolarsError| FrameError::content(&path, format!("cannot write it: {error}"));
        self.state = match (std::mem::replace(&mut self.state, State::Failed), self.format) {
            (State::Unopened(out), Format::Csv) => {
                CsvWriter::new(&mut *out).finish(&mut first.clear()).map_err(fault)?;
                State::Csv(out)
            }
            (State::Unopened(out), Format::Parquet) => {
                let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Snappy);
                State::Parquet(Box::new(writer.batched(first.schema()).map_err(fault)?))
            }
            (opened, _) => opened,
        };
        match &mut self.state {
            State::Csv(out) => {
                let texts = frames.par_iter().map(csv_text).collect::<PolarsResult<Vec<_>>>().map_err(fault)?;
                texts.iter().try_for_each(|text| out.write_all(text)).map_err(FrameError::io(&self.path, "write it"))
            }
            State::Parquet(writer) => {
                let mut full = frames.iter().filter(|frame| frame.height() > 0);
                full.try_for_each(|frame| writer.write_batch(frame)).map_err(fault)
            }
            State::Unopened(_) | State::Failed => Err(FrameError::content(&self.path, "an earlier write failed")),
        }
    }

    /// Writes what is still to be written. At least one batch must have been written, if only an empty one, for there to be a header.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn finish(self) -> Result<(), FrameError> {
        match self.state {
            State::Parquet(writer) => {
                writer.finish().map_err(|error| FrameError::content(&self.path, format!("cannot write it: {error}")))?;
            }
            State::Unopened(_) | State::Csv(_) | State::Failed => {}
        }
        Ok(())
    }
}

/// A guess at the length of a cell with its separator.
const CELL_BYTES: usize = 7;

/// The rows of a frame as CSV without a header, by one thread: batches are turned into text side by side.
///
/// # Errors
/// If a column has a type that CSV cannot hold.
pub fn csv_text(frame: &DataFrame) -> PolarsResult<Vec<u8>> {
    let mut text = Vec::with_capacity(frame.height() * frame.width() * CELL_BYTES);
    CsvWriter::new(&mut text).include_header(false).n_threads(1).finish(&mut frame.clone())?;
    Ok(text)
}
