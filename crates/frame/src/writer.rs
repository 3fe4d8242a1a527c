//! Writes a table batch by batch.

use std::{
    fs::File,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use polars::{
    io::{csv::write::BatchedWriter as CsvBatches, parquet::write::BatchedWriter as ParquetBatches},
    prelude::*,
};

use crate::{Format, FrameError};

/// Rows that one thread turns into text at a time: enough for large writes.
const CSV_ROWS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// An open output. The schema of the first batch is the table's.
pub struct TableWriter {
    path: PathBuf,
    format: Format,
    file: Option<File>,
    batches: Option<Batches>,
}

enum Batches {
    Csv(Box<CsvBatches<File>>),
    Parquet(Box<ParquetBatches<File>>),
}

impl TableWriter {
    /// A writer into `file`, in the format that `path` names (errors name it too).
    ///
    /// # Errors
    /// If the name has neither extension.
    pub fn new(path: &Path, file: File) -> Result<Self, FrameError> {
        Ok(Self { path: path.to_owned(), format: Format::of(path)?, file: Some(file), batches: None })
    }

    /// Writes a batch. Every batch must have the columns of the first.
    ///
    /// # Errors
    /// If the disk is full or the columns differ.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), FrameError> {
        let fault = |error: PolarsError| FrameError::content(&self.path, format!("cannot write it: {error}"));
        if let Some(file) = self.file.take() {
            self.batches = Some(match self.format {
                Format::Csv => {
                    let writer = CsvWriter::new(file).with_batch_size(CSV_ROWS);
                    Batches::Csv(Box::new(writer.batched(frame.schema()).map_err(fault)?))
                }
                Format::Parquet => {
                    let writer = ParquetWriter::new(file).with_compression(ParquetCompression::Snappy);
                    Batches::Parquet(Box::new(writer.batched(frame.schema()).map_err(fault)?))
                }
            });
        }
        match &mut self.batches {
            Some(Batches::Csv(writer)) => writer.write_batch(frame),
            Some(Batches::Parquet(writer)) if frame.height() > 0 => writer.write_batch(frame),
            _ => Ok(()),
        }
        .map_err(fault)
    }

    /// Writes what is still to be written. At least one batch must have been written, if only an empty one, for there to be a header.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn finish(self) -> Result<(), FrameError> {
        let fault = |error: PolarsError| FrameError::content(&self.path, format!("cannot write it: {error}"));
        match self.batches {
            Some(Batches::Csv(mut writer)) => writer.finish().map_err(fault),
            Some(Batches::Parquet(writer)) => writer.finish().map(|_| ()).map_err(fault),
            None => Ok(()),
        }
    }
}
