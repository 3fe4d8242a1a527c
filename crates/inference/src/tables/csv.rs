//! CSV tables: the records of [`csv_records`], and records with the prediction after their fields.

use std::{borrow::Cow, io::Read, sync::Arc};

use anyhow::anyhow;
use csv_records::{BLOCK_BYTES, CsvBlock, CsvError, CsvReader, fields, push_field};
use rayon::prelude::*;

use crate::{
    formats::json::Row,
    loaded_model::LoadedModel,
    prediction_json::push_number,
    row_schema::{RawValue, RowSchema},
    tables::{
        block::{MalformedRecord, OutputColumns, PredictedBlock, RowBlock, RowSink, RowSource, WARNINGS_COLUMN},
        header::InputColumns,
        named_writer::NamedWriter,
    },
};

/// An open CSV table.
pub struct CsvSource<R> {
    name: String,
    bytes: u64,
    reader: CsvReader<R>,
    columns: Arc<InputColumns>,
}

impl<R: Read + Send> CsvSource<R> {
    /// Reads the header of a table of about `bytes` bytes, which messages call `name`.
    ///
    /// # Errors
    /// If it is no CSV text, or its header does not fit.
    pub fn open(name: &str, input: R, bytes: u64, model: &LoadedModel) -> anyhow::Result<Self> {
        let reader = CsvReader::open(input).map_err(|error| at(name, error))?;
        let names = reader.names().to_vec();
        let line = reader.header_line();
        let columns = InputColumns::new(model, names).map_err(|message| anyhow!("{name}:{line}: {message}"))?;
        Ok(Self { name: name.to_owned(), bytes, reader, columns: Arc::new(columns) })
    }
}

/// An error of a table, with its name.
fn at(name: &str, error: CsvError) -> anyhow::Error {
    match error {
        CsvError::Record { line, message } => anyhow!("{name}:{line}: {message}"),
        error => anyhow!("{name}: {error}"),
    }
}

impl<R: Read + Send> RowSource for CsvSource<R> {
    fn names(&self) -> &[String] {
        &self.columns.names
    }

    fn header_place(&self) -> String {
        format!("{}:{}", self.name, self.reader.header_line())
    }

    fn expected_blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK_BYTES as u64)
    }

    fn next_block(&mut self) -> anyhow::Result<Option<Box<dyn RowBlock>>> {
        let block = self.reader.next_block().map_err(|error| at(&self.name, error))?;
        let columns = self.columns.clone();
        Ok(block.map(|block| Box::new(CsvRows { block, columns }) as Box<dyn RowBlock>))
    }
}

/// Some records.
struct CsvRows {
    block: CsvBlock,
    columns: Arc<InputColumns>,
}

impl RowBlock for CsvRows {
    fn rows(&self) -> usize {
        self.block.rows()
    }

    fn line(&self, row: usize) -> u64 {
        self.block.line(row)
    }

    fn read<'a>(&'a self, row: usize, _fields: &RowSchema) -> Result<Row<'a>, String> {
        let mut fields = fields(self.block.record(row));
        Ok(self.columns.row(|place| RawValue::Text(std::mem::take(&mut fields[place]))))
    }

    fn texts(&self, row: usize) -> Vec<Cow<'_, str>> {
        fields(self.block.record(row))
    }

    fn record(&self, row: usize) -> Cow<'_, str> {
        Cow::Borrowed(self.block.record(row))
    }

    fn malformed(&self) -> Vec<MalformedRecord> {
        let column = |field: Option<usize>| field.and_then(|field| self.columns.names.get(field)).cloned();
        let records = self.block.malformed().iter().map(|malformed| MalformedRecord {
            line: malformed.line,
            column: column(malformed.field).unwrap_or_default(),
            reason: malformed.reason.clone(),
            record: malformed.record.clone(),
        });
        records.collect()
    }
}

/// A CSV table that is written.
pub struct CsvSink<'a> {
    out: NamedWriter<'a>,
}

impl<'a> CsvSink<'a> {
    /// Writes the header.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(mut out: NamedWriter<'a>, columns: &OutputColumns) -> anyhow::Result<Self> {
        let mut header = Vec::new();
        let names = columns.input.iter().chain(&columns.predictions).map(String::as_str);
        for (place, name) in names.chain([WARNINGS_COLUMN]).enumerate() {
            if place > 0 {
                header.push(b',');
            }
            push_field(&mut header, name);
        }
        header.push(b'\n');
        out.write(&header)?;
        Ok(Self { out })
    }
}

impl RowSink for CsvSink<'_> {
    fn write(&mut self, blocks: &[PredictedBlock]) -> anyhow::Result<()> {
        let texts: Vec<Vec<u8>> = blocks.par_iter().map(records).collect();
        texts.iter().try_for_each(|text| self.out.write(text))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The predicted rows of a block as records.
fn records(predicted: &PredictedBlock) -> Vec<u8> {
    let mut out = Vec::new();
    for (place, row) in predicted.rows.iter().enumerate() {
        for cell in predicted.block.texts(*row) {
            push_field(&mut out, &cell);
            out.push(b',');
        }
        for column in &predicted.predictions {
            push_number(&mut out, column[place]);
            out.push(b',');
        }
        push_field(&mut out, &predicted.warnings[place]);
        out.push(b'\n');
    }
    out
}
