//! A block of rows of a table, whatever the format: what a source yields and a sink takes.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{formats::json::Row, row_schema::RowSchema};

/// Rows of a block at most, where a format has no limit in bytes.
pub const MAX_BLOCK_ROWS: usize = 16 << 10;

/// Rows of a table that are in memory together.
pub trait RowBlock: Send + Sync {
    /// The number of rows. Their values may still be unreadable.
    fn rows(&self) -> usize;

    /// The 1-based line of the file on which a row starts; of a format without lines the row, from 1.
    fn line(&self, row: usize) -> u64;

    /// The values of the fields of a row.
    ///
    /// # Errors
    /// If the row cannot be read: the continuation of "the record".
    fn read<'a>(&'a self, row: usize, fields: &RowSchema) -> Result<Row<'a>, String>;

    /// The cells of a row as text, one for each name of the source; empty where there is none.
    fn texts(&self, row: usize) -> Vec<Cow<'_, str>>;

    /// A row as it stands in the file; of a format without text its cells with commas between.
    fn record(&self, row: usize) -> Cow<'_, str> {
        Cow::Owned(self.texts(row).join(","))
    }

    /// Records that are no rows.
    fn malformed(&self) -> Vec<MalformedRecord> {
        Vec::new()
    }

    /// A row as the text of a JSON object, where it came as one.
    fn as_json(&self, _row: usize) -> Option<&str> {
        None
    }

    /// The rows as an Arrow batch, where they came as one.
    fn as_arrow(&self) -> Option<&RecordBatch> {
        None
    }
}

/// A record that is no row.
#[derive(Clone, Debug, PartialEq)]
pub struct MalformedRecord {
    /// The line on which it starts.
    pub line: u64,
    /// The column at fault; empty where the whole record is.
    pub column: String,
    /// The continuation of "the record".
    pub reason: String,
    /// The record as text.
    pub record: String,
}

/// An open table.
pub trait RowSource: Send {
    /// The names of the columns, in order.
    fn names(&self) -> &[String];

    /// Where the columns are named, for messages: the file, with the line of its header if it has one.
    fn header_place(&self) -> String;

    /// About how many blocks there are, for progress.
    fn expected_blocks(&self) -> u64;

    /// The types of the columns, where the table is an Arrow stream.
    fn arrow_schema(&self) -> Option<SchemaRef> {
        None
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// If the table cannot be read on. The message names the file.
    fn next_block(&mut self) -> anyhow::Result<Option<Box<dyn RowBlock>>>;
}

/// A table that is written.
pub trait RowSink: Send {
    /// Writes the predicted rows of blocks, in order.
    ///
    /// # Errors
    /// If they cannot be written. The message names the file.
    fn write(&mut self, blocks: &[PredictedBlock]) -> anyhow::Result<()>;

    /// Writes the end of the table.
    ///
    /// # Errors
    /// If it cannot be written.
    fn finish(&mut self) -> anyhow::Result<()>;
}

/// The columns of a table of predictions.
#[derive(Clone, Debug)]
pub struct OutputColumns {
    /// The columns that came.
    pub input: Vec<String>,
    /// Columns of numbers: the prediction, and what else was asked for.
    pub predictions: Vec<String>,
}

/// The column of the warnings, the last one of a table of predictions.
pub const WARNINGS_COLUMN: &str = "warnings";

/// A block with the predictions of its valid rows.
pub struct PredictedBlock {
    /// The rows as they came.
    pub block: Box<dyn RowBlock>,
    /// The places of the valid rows in the block, in order.
    pub rows: Vec<usize>,
    /// A number for each valid row, column by column: those of [`OutputColumns::predictions`].
    pub predictions: Vec<Vec<f64>>,
    /// The warnings of each valid row, joined; empty where there are none.
    pub warnings: Vec<String>,
    /// Rows without a prediction, by line.
    pub quarantined: Vec<Quarantined>,
    /// Cells of valid rows with a level that is not in the training data.
    pub unknown_levels: u64,
}

/// A row without a prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The line on which it starts.
    pub line: u64,
    /// The first column at fault; empty where the record as a whole is.
    pub column: String,
    /// The cell at fault as it came.
    pub value: String,
    /// What is wrong with the row.
    pub reason: String,
    /// The row as it came.
    pub record: String,
}
