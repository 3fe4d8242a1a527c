//! Reading of a table in blocks.

use std::{
    fs::File,
    io::Cursor,
    path::{Path, PathBuf},
};

use csv_records::{BLOCK_BYTES, CsvBlock, CsvReader, MAX_RECORD_BYTES};
use polars::prelude::*;
use rayon::prelude::*;
use schema::{TargetColumn, check_header, check_header_names};

use crate::{error::FrameError, format::Format};

/// Number of rows of a Parquet block.
pub const BLOCK_ROWS: usize = 100_000;

/// An open table whose header was read.
pub struct TableSource {
    path: PathBuf,
    names: Vec<String>,
    header_line: u64,
    bytes: u64,
    rows: SourceRows,
}

enum SourceRows {
    Csv(Box<CsvReader<File>>),
    Parquet { next: usize, total: usize },
}

/// Unparsed rows of a table, so that blocks can be parsed in parallel.
pub struct Block {
    pub(crate) path: PathBuf,
    pub(crate) names: Vec<String>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Csv(CsvBlock),
    Parquet { offset: usize, rows: usize },
}

impl TableSource {
    /// Opens the table at `path` and reads its header.
    ///
    /// # Errors
    /// If the file does not exist, is empty, has another format than its name says, or has duplicate names in its header.
    pub fn open(path: &Path) -> Result<Self, FrameError> {
        let format = Format::from_path(path)?;
        if !path.exists() {
            return Err(FrameError::Missing { path: path.to_owned() });
        }
        let file = File::open(path).map_err(FrameError::io(path, "open it"))?;
        let metadata = file.metadata().map_err(FrameError::io(path, "read it"))?;
        if metadata.is_dir() {
            return Err(FrameError::content(path, "is a folder, not a table"));
        }
        let bytes = metadata.len();
        if bytes == 0 {
            return Err(FrameError::Empty { path: path.to_owned() });
        }
        let (names, header_line, rows) = match format {
            Format::Csv => {
                let reader = CsvReader::open(file).map_err(|error| FrameError::csv(path, error))?;
                (reader.names().to_vec(), reader.header_line(), SourceRows::Csv(Box::new(reader)))
            }
            Format::Parquet => open_parquet(path, file)?,
        };
        Ok(Self { path: path.to_owned(), names, header_line, bytes, rows })
    }

    /// Path of the table.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names in the header, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Line of the header, from 1.
    pub fn header_line(&self) -> u64 {
        self.header_line
    }

    /// Compares the header with the schema: every column of the one must be in the other, in any order.
    ///
    /// # Errors
    /// With all columns that are missing and all that are unknown.
    pub fn check_header(&self, schema: &schema::Schema, target: TargetColumn) -> Result<(), FrameError> {
        check_header(&self.names, schema, target).map_err(|message| FrameError::Header {
            path: self.path.clone(),
            line: self.header_line,
            message,
        })
    }

    /// Approximate number of blocks, for progress.
    pub fn expected_blocks(&self) -> u64 {
        match &self.rows {
            SourceRows::Csv(_) => self.bytes.div_ceil(BLOCK_BYTES as u64),
            SourceRows::Parquet { total, .. } => total.div_ceil(BLOCK_ROWS) as u64,
        }
    }

    /// Applies `work` to each block in parallel and calls `visit` with the results, several at a time and in order. Reading, working and
    /// visiting overlap.
    ///
    /// # Errors
    /// If the file cannot be read, or `work` or `visit` fails.
    pub fn for_each_block<T: Send, E: Send + From<FrameError>>(
        &mut self,
        work: impl Fn(&Block) -> Result<T, E> + Sync,
        mut visit: impl FnMut(Vec<T>) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        let ahead = rayon::current_num_threads() * 4;
        let mut blocks = self.next_blocks(ahead)?;
        let mut done: Vec<T> = Vec::new();
        while !blocks.is_empty() || !done.is_empty() {
            let (next, (worked, visited)) = rayon::join(
                || self.next_blocks(ahead),
                || rayon::join(|| blocks.par_iter().map(&work).collect::<Result<Vec<T>, E>>(), || visit(done)),
            );
            visited?;
            (blocks, done) = (next?, worked?);
        }
        Ok(())
    }

    /// Up to `count` more blocks; empty at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn next_blocks(&mut self, count: usize) -> Result<Vec<Block>, FrameError> {
        std::iter::from_fn(|| self.next_block().transpose()).take(count).collect()
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next_block(&mut self) -> Result<Option<Block>, FrameError> {
        let content = match &mut self.rows {
            SourceRows::Csv(reader) => {
                reader.next_block().map_err(|error| FrameError::csv(&self.path, error))?.map(Content::Csv)
            }
            SourceRows::Parquet { next, total } => {
                let rows = BLOCK_ROWS.min(*total - *next);
                let offset = *next;
                *next += rows;
                (rows > 0).then_some(Content::Parquet { offset, rows })
            }
        };
        Ok(content.map(|content| Block { path: self.path.clone(), names: self.names.clone(), content }))
    }
}

fn open_parquet(path: &Path, file: File) -> Result<(Vec<String>, u64, SourceRows), FrameError> {
    let file_error = |error: PolarsError| FrameError::content(path, format!("is not a readable Parquet file: {error}"));
    let mut reader = ParquetReader::new(file);
    let names: Vec<String> = reader.schema().map_err(file_error)?.iter_names().map(|name| name.trim().to_owned()).collect();
    let header = |message| FrameError::Header { path: path.to_owned(), line: 1, message };
    check_header_names(&names).map_err(header)?;
    let total = reader.num_rows().map_err(file_error)?;
    Ok((names, 1, SourceRows::Parquet { next: 0, total }))
}

/// Rejects a Parquet text that is too long for a CSV record.
fn reject_long_cells(frame: &DataFrame, offset: usize) -> PolarsResult<()> {
    for column in frame.columns() {
        let Ok(cells) = column.str() else { continue };
        if let Some(row) = cells.iter().position(|cell| cell.is_some_and(|cell| cell.len() > MAX_RECORD_BYTES)) {
            polars_bail!(
                ComputeError: "row {}, column \"{}\": the cell is longer than the limit of {MAX_RECORD_BYTES} bytes. Shorten or remove it",
                offset + row + 1, column.name()
            );
        }
    }
    Ok(())
}

impl Block {
    /// Number of well-formed rows.
    pub fn rows(&self) -> usize {
        match &self.content {
            Content::Csv(block) => block.rows(),
            Content::Parquet { rows, .. } => *rows,
        }
    }

    /// Line (row number in Parquet) of row `index`, from 1.
    pub fn line(&self, index: usize) -> u64 {
        match &self.content {
            Content::Csv(block) => block.line(index),
            Content::Parquet { offset, .. } => (offset + index + 1) as u64,
        }
    }

    /// Parses all rows with polars, with the column types of `types` or as text. If `lenient`, a cell of another type is missing instead of
    /// an error.
    pub(crate) fn parse(&self, lenient: bool, types: &dyn Fn(&str) -> DataType) -> PolarsResult<DataFrame> {
        match &self.content {
            Content::Csv(block) => {
                let fields = self.names.iter().map(|name| Field::new(name.as_str().into(), types(name)));
                let schema: Schema = fields.collect();
                // without well-formed records, because polars rejects empty text
                if block.rows() == 0 {
                    return Ok(DataFrame::empty_with_schema(&schema));
                }
                let frame = CsvReadOptions::default()
                    .with_has_header(false)
                    .with_schema(Some(std::sync::Arc::new(schema)))
                    .with_n_threads(Some(1))
                    .with_rechunk(true)
                    .with_ignore_errors(lenient)
                    .map_parse_options(|options| options.with_missing_is_null(false))
                    .into_reader_with_file_handle(Cursor::new(block.text()))
                    .finish()?;
                polars_ensure!(
                    frame.height() == block.rows(),
                    ComputeError: "{} records were read as {} rows", block.rows(), frame.height()
                );
                Ok(frame)
            }
            Content::Parquet { offset, rows } => {
                let file = File::open(&self.path)?;
                let mut frame = ParquetReader::new(file).with_slice(Some((*offset, *rows))).finish()?;
                frame.set_column_names(self.names.as_slice())?;
                let columns = frame.columns().iter().map(|column| column.cast(&types(column.name())));
                let mut frame = DataFrame::new(*rows, columns.collect::<PolarsResult<Vec<_>>>()?)?;
                reject_long_cells(&frame, *offset)?;
                frame.rechunk_mut();
                Ok(frame)
            }
        }
    }

    /// Line and error of the first malformed record.
    pub(crate) fn malformed(&self) -> Option<(u64, String)> {
        let Content::Csv(block) = &self.content else { return None };
        block.malformed().first().map(|malformed| (malformed.line, format!("the record {}", malformed.reason)))
    }
}
