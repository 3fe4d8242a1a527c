//! Writing of a table in batches.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use polars::{io::parquet::write::BatchedWriter, prelude::*};
use rayon::prelude::*;

use crate::{error::FrameError, format::Format};

/// An open output; the columns are those of the first batch.
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
    /// A writer to `out`, in the format of `path`, which is also the name in errors.
    ///
    /// # Errors
    /// If the extension is unknown.
    pub fn new(path: &Path, out: Output<'a>) -> Result<Self, FrameError> {
        Ok(Self { path: path.to_owned(), format: Format::from_path(path)?, state: State::Unopened(out) })
    }

    /// Writes batches in order, all with the columns of the first.
    ///
    /// # Errors
    /// If the disk is full or the columns differ.
    pub fn write(&mut self, frames: &[DataFrame]) -> Result<(), FrameError> {
        let Some(first) = frames.first() else { return Ok(()) };
        let path = self.path.clone();
        let write_error = |error: PolarsError| FrameError::content(&path, format!("cannot write it: {error}"));
        self.state = match (std::mem::replace(&mut self.state, State::Failed), self.format) {
            (State::Unopened(out), Format::Csv) => {
                CsvWriter::new(&mut *out).finish(&mut first.clear()).map_err(write_error)?;
                State::Csv(out)
            }
            (State::Unopened(out), Format::Parquet) => {
                let writer = ParquetWriter::new(out).with_compression(ParquetCompression::Snappy);
                State::Parquet(Box::new(writer.batched(first.schema()).map_err(write_error)?))
            }
            (opened, _) => opened,
        };
        match &mut self.state {
            State::Csv(out) => {
                let texts = frames.par_iter().map(csv_text).collect::<PolarsResult<Vec<_>>>().map_err(write_error)?;
                texts.iter().try_for_each(|text| out.write_all(text)).map_err(FrameError::io(&self.path, "write it"))
            }
            State::Parquet(writer) => {
                let mut full = frames.iter().filter(|frame| frame.height() > 0);
                full.try_for_each(|frame| writer.write_batch(frame)).map_err(write_error)
            }
            State::Unopened(_) | State::Failed => Err(FrameError::content(&self.path, "an earlier write failed")),
        }
    }

    /// Completes the file. At least one batch, which can be empty, must have been written for the header.
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

/// Expected length of a cell with its separator, in bytes.
const CELL_BYTES: usize = 7;

/// The rows of a data frame as CSV without a header, in one thread, because batches run in parallel.
///
/// # Errors
/// If CSV cannot represent the type of a column.
pub fn csv_text(frame: &DataFrame) -> PolarsResult<Vec<u8>> {
    let mut text = Vec::with_capacity(frame.height() * frame.width() * CELL_BYTES);
    CsvWriter::new(&mut text).include_header(false).n_threads(1).finish(&mut frame.clone())?;
    Ok(text)
}
