//! Arrow streams: batches, written with the columns of the prediction after theirs. Columns keep their types.

use std::{
    borrow::Cow,
    io::{BufReader, Read},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use csv_records::BLOCK_BYTES;
use rayon::prelude::*;
use schema::check_header_names;

use crate::{
    formats::{arrow::first_rows, arrow_validation::ValidatingReader, json::Row, json_scan::MAX_ROW_BYTES},
    loaded_model::LoadedModel,
    row_schema::RowSchema,
    tables::{
        arrow_value::{raw_value, text},
        block::{MAX_BLOCK_ROWS, OutputColumns, PredictedBlock, RowBlock, RowSink, RowSource, WARNINGS_COLUMN},
        header::InputColumns,
        named_writer::NamedWriter,
    },
};

/// What an Arrow file begins with, which is no stream.
const ARROW_FILE: &[u8] = b"ARROW1";

/// An open Arrow stream.
pub struct ArrowSource<R: Read> {
    name: String,
    bytes: u64,
    reader: StreamReader<ValidatingReader<BufReader<R>, ()>>,
    schema: SchemaRef,
    columns: Arc<InputColumns>,
    /// The batch that is cut into blocks, and how many of its rows were taken.
    batch: Option<(RecordBatch, usize)>,
    /// Rows before the next block.
    rows: u64,
}

impl<R: Read + Send> ArrowSource<R> {
    /// Reads the schema of a stream of about `bytes` bytes, which messages call `name`.
    ///
    /// # Errors
    /// If it is no Arrow stream, has columns of types that are not read, or its columns do not fit.
    pub fn open(name: &str, input: R, bytes: u64, model: &LoadedModel) -> anyhow::Result<Self> {
        let mut input = BufReader::new(input);
        if std::io::BufRead::fill_buf(&mut input).with_context(|| format!("{name}: cannot read it"))?.starts_with(ARROW_FILE)
        {
            bail!("{name}: is an Arrow file, not an Arrow stream. Write it with pyarrow.ipc.new_stream");
        }
        let reader =
            StreamReader::try_new(ValidatingReader::new(input, ()), None).map_err(|error| stream_error(name, error))?;
        let schema = reader.schema();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = check_header_names(&names).and_then(|()| InputColumns::new(model, names));
        let columns = Arc::new(columns.map_err(|message| anyhow!("{name}: {message}"))?);
        Ok(Self { name: name.to_owned(), bytes, reader, schema, columns, batch: None, rows: 0 })
    }
}

/// An error of a stream, with its name.
fn stream_error(name: &str, error: ArrowError) -> anyhow::Error {
    match error {
        ArrowError::IoError(_, error) => anyhow!("{name}: {error}"),
        other => anyhow!("{name}: {other}"),
    }
}

impl<R: Read + Send> RowSource for ArrowSource<R> {
    fn names(&self) -> &[String] {
        &self.columns.names
    }

    fn header_place(&self) -> String {
        self.name.clone()
    }

    fn expected_blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK_BYTES as u64)
    }

    fn arrow_schema(&self) -> Option<SchemaRef> {
        Some(self.schema.clone())
    }

    fn next_block(&mut self) -> anyhow::Result<Option<Box<dyn RowBlock>>> {
        loop {
            if let Some((batch, taken)) = self.batch.take_if(|(batch, taken)| *taken < batch.num_rows()) {
                let rows = first_rows(&batch, taken, MAX_BLOCK_ROWS).ok_or_else(|| {
                    anyhow!(
                        "{}: row {}: is longer than the limit of {MAX_ROW_BYTES} bytes. Shorten or remove it",
                        self.name,
                        self.rows + 1
                    )
                })?;
                let block = ArrowRows { batch: rows, first: self.rows, columns: self.columns.clone() };
                self.rows += block.batch.num_rows() as u64;
                self.batch = Some((batch, taken + block.batch.num_rows()));
                return Ok(Some(Box::new(block)));
            }
            match self.reader.next().transpose().map_err(|error| stream_error(&self.name, error))? {
                Some(batch) => self.batch = Some((batch, 0)),
                None => return Ok(None),
            }
        }
    }
}

/// Some rows of a batch.
struct ArrowRows {
    batch: RecordBatch,
    /// Rows of the stream before them.
    first: u64,
    columns: Arc<InputColumns>,
}

impl RowBlock for ArrowRows {
    fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn line(&self, row: usize) -> u64 {
        self.first + row as u64 + 1
    }

    fn read<'a>(&'a self, row: usize, _fields: &RowSchema) -> Result<Row<'a>, String> {
        Ok(self.columns.row(|place| raw_value(self.batch.column(place), row)))
    }

    fn texts(&self, row: usize) -> Vec<Cow<'_, str>> {
        self.batch.columns().iter().map(|column| text(column, row)).collect()
    }

    fn as_arrow(&self) -> Option<&RecordBatch> {
        Some(&self.batch)
    }
}

/// An Arrow stream that is written.
pub struct ArrowSink<'a> {
    out: NamedWriter<'a>,
    writer: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
}

impl<'a> ArrowSink<'a> {
    /// Writes the schema: the types of `input` if the rows come from a stream, else text.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(out: NamedWriter<'a>, columns: &OutputColumns, input: Option<SchemaRef>) -> anyhow::Result<Self> {
        let fields: Vec<Arc<Field>> = match input {
            Some(schema) => schema.fields().iter().cloned().collect(),
            None => columns.input.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, true))).collect(),
        };
        let predictions = columns.predictions.iter().map(|name| Arc::new(Field::new(name, DataType::Float64, false)));
        let warnings = Arc::new(Field::new(WARNINGS_COLUMN, DataType::Utf8, false));
        let schema = Arc::new(Schema::new(fields.into_iter().chain(predictions).chain([warnings]).collect::<Vec<_>>()));
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        let mut sink = Self { out, writer, schema };
        sink.pass_on()?;
        Ok(sink)
    }

    /// Writes what the writer has made.
    fn pass_on(&mut self) -> anyhow::Result<()> {
        let bytes = std::mem::take(self.writer.get_mut());
        self.out.write(&bytes)
    }
}

impl RowSink for ArrowSink<'_> {
    fn write(&mut self, blocks: &[PredictedBlock]) -> anyhow::Result<()> {
        let blocks = blocks.par_iter().filter(|block| !block.rows.is_empty());
        for batch in blocks.map(|block| batch(&self.schema, block)).collect::<Result<Vec<_>, _>>()? {
            self.writer.write(&batch)?;
            self.pass_on()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.writer.finish()?;
        self.pass_on()
    }
}

/// The predicted rows of a block as a batch.
fn batch(schema: &SchemaRef, predicted: &PredictedBlock) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = if let Some(batch) = predicted.block.as_arrow() {
        let mut is_valid = vec![false; batch.num_rows()];
        predicted.rows.iter().for_each(|row| is_valid[*row] = true);
        filter_record_batch(batch, &BooleanArray::from(is_valid))?.columns().to_vec()
    } else {
        let texts: Vec<Vec<Cow<str>>> = predicted.rows.iter().map(|row| predicted.block.texts(*row)).collect();
        let width = schema.fields().len() - predicted.predictions.len() - 1;
        let column = |place: usize| -> ArrayRef {
            let cells = texts.iter().map(|cells| Some(cells[place].as_ref()).filter(|cell| !cell.is_empty()));
            Arc::new(cells.collect::<StringArray>())
        };
        (0..width).map(column).collect()
    };
    columns.extend(predicted.predictions.iter().map(|values| Arc::new(Float64Array::from(values.clone())) as ArrayRef));
    columns.push(Arc::new(predicted.warnings.iter().map(Some).collect::<StringArray>()));
    RecordBatch::try_new(schema.clone(), columns)
}
