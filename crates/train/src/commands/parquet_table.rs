//! Parquet tables for `predict`: rows with their cells as text, as `process` reads them, and rows with their predictions.

use std::{borrow::Cow, io::Write, path::Path, sync::Arc};

use anyhow::{anyhow, bail};
use inference::{
    formats::json::Row,
    loaded_model::LoadedModel,
    row_schema::{RawValue, RowSchema},
    tables::{
        block::{MAX_BLOCK_ROWS, OutputColumns, PredictedBlock, RowBlock, RowSink, RowSource, WARNINGS_COLUMN},
        header::InputColumns,
    },
};
use polars::prelude::*;
use rayon::prelude::*;
use table_io::{BLOCK_ROWS, TableSource, TableWriter};

/// An open Parquet table.
pub(crate) struct ParquetSource {
    source: TableSource,
    columns: Arc<InputColumns>,
    /// The rows that were read last, and how many of them were taken.
    read: (DataFrame, usize),
    /// Rows before the next block.
    rows: u64,
}

impl ParquetSource {
    /// Reads the schema of the table at `path`.
    ///
    /// # Errors
    /// If it is no Parquet table, or its columns do not fit the model.
    pub(crate) fn open(path: &Path, model: &LoadedModel) -> anyhow::Result<Self> {
        let source = TableSource::open(path)?;
        let names = source.names().to_vec();
        let columns = InputColumns::new(model, names)
            .map_err(|message| anyhow!("{}:{}: {message}", path.display(), source.header_line()))?;
        Ok(Self { source, columns: Arc::new(columns), read: (DataFrame::empty(), 0), rows: 0 })
    }
}

impl RowSource for ParquetSource {
    fn names(&self) -> &[String] {
        &self.columns.names
    }

    fn header_place(&self) -> String {
        format!("{}:{}", self.source.path().display(), self.source.header_line())
    }

    fn expected_blocks(&self) -> u64 {
        self.source.expected_blocks() * BLOCK_ROWS.div_ceil(MAX_BLOCK_ROWS) as u64
    }

    fn next_block(&mut self) -> anyhow::Result<Option<Box<dyn RowBlock>>> {
        while self.read.1 == self.read.0.height() {
            let Some(block) = self.source.next_block()? else { return Ok(None) };
            self.read = (block.text_frame()?, 0);
        }
        let (frame, taken) = &mut self.read;
        let frame = frame.slice(*taken as i64, MAX_BLOCK_ROWS);
        *taken += frame.height();
        let block = ParquetRows { first: self.rows, columns: self.columns.clone(), frame };
        self.rows += block.frame.height() as u64;
        Ok(Some(Box::new(block)))
    }
}

/// Some rows, all cells as text.
struct ParquetRows {
    frame: DataFrame,
    /// Rows of the table before them.
    first: u64,
    columns: Arc<InputColumns>,
}

impl ParquetRows {
    fn text(&self, row: usize, place: usize) -> Cow<'_, str> {
        let cells = self.frame.columns()[place].str();
        Cow::Borrowed(cells.ok().and_then(|cells| cells.get(row)).unwrap_or_default())
    }
}

impl RowBlock for ParquetRows {
    fn rows(&self) -> usize {
        self.frame.height()
    }

    fn line(&self, row: usize) -> u64 {
        self.first + row as u64 + 1
    }

    fn read<'a>(&'a self, row: usize, _fields: &RowSchema) -> Result<Row<'a>, String> {
        Ok(self.columns.row(|place| RawValue::Text(self.text(row, place))))
    }

    fn texts(&self, row: usize) -> Vec<Cow<'_, str>> {
        (0..self.columns.names.len()).map(|place| self.text(row, place)).collect()
    }
}

/// A Parquet table that is written.
pub(crate) struct ParquetSink<'a> {
    /// None once the table is written.
    writer: Option<TableWriter<'a>>,
    columns: OutputColumns,
}

impl<'a> ParquetSink<'a> {
    /// A table in `out`, which messages call by `path`.
    pub(crate) fn create(path: &Path, out: &'a mut (dyn Write + Send), columns: &OutputColumns) -> anyhow::Result<Self> {
        Ok(Self { writer: Some(TableWriter::new(path, out)?), columns: columns.clone() })
    }
}

impl RowSink for ParquetSink<'_> {
    fn write(&mut self, blocks: &[PredictedBlock]) -> anyhow::Result<()> {
        let Some(writer) = &mut self.writer else { bail!("the table is written already") };
        let frames = blocks.par_iter().map(|block| table(&self.columns, block)).collect::<PolarsResult<Vec<_>>>()?;
        Ok(writer.write(&frames)?)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.writer.take().map_or(Ok(()), TableWriter::finish)?)
    }
}

/// The predicted rows of a block: cells as text, an empty one as null.
fn table(names: &OutputColumns, predicted: &PredictedBlock) -> PolarsResult<DataFrame> {
    let texts: Vec<Vec<Cow<str>>> = predicted.rows.iter().map(|row| predicted.block.texts(*row)).collect();
    let mut columns = Vec::new();
    for (place, name) in names.input.iter().enumerate() {
        let cells: Vec<Option<&str>> =
            texts.iter().map(|cells| Some(cells[place].as_ref()).filter(|cell| !cell.is_empty())).collect();
        columns.push(Column::new(name.as_str().into(), cells));
    }
    for (place, name) in names.predictions.iter().enumerate() {
        // a block without a valid row has no columns of predictions
        let values = predicted.predictions.get(place).cloned().unwrap_or_default();
        columns.push(Column::new(name.as_str().into(), values));
    }
    columns.push(Column::new(WARNINGS_COLUMN.into(), &predicted.warnings));
    DataFrame::new(predicted.rows.len(), columns)
}
