//! NDJSON tables: a JSON object on each line, written with the prediction after its members.

use std::{
    borrow::Cow,
    io::{BufRead, BufReader, Read},
    ops::Range,
    sync::Arc,
};

use anyhow::{Context, bail};
use csv_records::{BLOCK_BYTES, compressed_or_encoded};
use rayon::prelude::*;
use serde_json::Value;

use crate::{
    formats::{
        json::{Row, Unreadable, read_row},
        json_scan::MAX_ROW_BYTES,
    },
    loaded_model::LoadedModel,
    prediction_json::push_number,
    row_schema::RowSchema,
    tables::{
        block::{OutputColumns, PredictedBlock, RowBlock, RowSink, RowSource, WARNINGS_COLUMN},
        named_writer::NamedWriter,
    },
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An open NDJSON table. It has no header: its columns are those of the schema.
pub struct NdjsonSource<R> {
    name: String,
    bytes: u64,
    input: BufReader<R>,
    names: Arc<Vec<String>>,
    /// Lines that were read.
    lines: u64,
}

impl<R: Read + Send> NdjsonSource<R> {
    /// A table of about `bytes` bytes, which messages call `name`.
    ///
    /// # Errors
    /// If it cannot be read, or is no UTF-8 text.
    pub fn open(name: &str, input: R, bytes: u64, model: &LoadedModel) -> anyhow::Result<Self> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let start = input.fill_buf().with_context(|| format!("{name}: cannot read it"))?;
        if let Some(message) = compressed_or_encoded(start) {
            bail!("{name}: {message}");
        }
        if start.starts_with(BYTE_ORDER_MARK) {
            input.consume(BYTE_ORDER_MARK.len());
        }
        let columns = model.predictor.preprocessor().schema().columns();
        let names = Arc::new(columns.iter().map(|column| column.name.clone()).collect());
        Ok(Self { name: name.to_owned(), bytes, input, names, lines: 0 })
    }
}

impl<R: Read + Send> RowSource for NdjsonSource<R> {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn header_place(&self) -> String {
        self.name.clone()
    }

    fn expected_blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK_BYTES as u64)
    }

    fn next_block(&mut self) -> anyhow::Result<Option<Box<dyn RowBlock>>> {
        let mut block = NdjsonRows { text: Vec::new(), rows: Vec::new(), names: self.names.clone() };
        while block.text.len() < BLOCK_BYTES {
            let start = block.text.len();
            let mut limited = (&mut self.input).take(MAX_ROW_BYTES as u64 + 1);
            let read = limited.read_until(b'\n', &mut block.text);
            if read.with_context(|| format!("{}: cannot read it", self.name))? == 0 {
                break;
            }
            self.lines += 1;
            let record = block.text[start..].trim_ascii();
            if block.text.len() - start > MAX_ROW_BYTES {
                bail!(
                    "{}:{}: the record is longer than the limit of {MAX_ROW_BYTES} bytes. Shorten or remove it",
                    self.name,
                    self.lines
                );
            }
            if record.is_empty() {
                block.text.truncate(start);
            } else {
                block.rows.push((self.lines, start..block.text.len()));
            }
        }
        Ok((!block.rows.is_empty()).then(|| Box::new(block) as Box<dyn RowBlock>))
    }
}

/// Some lines.
struct NdjsonRows {
    text: Vec<u8>,
    /// The line in the file of each row, and where it is in the text.
    rows: Vec<(u64, Range<usize>)>,
    names: Arc<Vec<String>>,
}

impl NdjsonRows {
    fn bytes(&self, row: usize) -> &[u8] {
        self.text[self.rows[row].1.clone()].trim_ascii()
    }
}

impl RowBlock for NdjsonRows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn line(&self, row: usize) -> u64 {
        self.rows[row].0
    }

    fn read<'a>(&'a self, row: usize, fields: &RowSchema) -> Result<Row<'a>, String> {
        read_row(fields, self.bytes(row)).map_err(|error| match error {
            Unreadable::Syntax(message) | Unreadable::Form(message) => format!("is not a JSON object: {message}"),
        })
    }

    fn texts(&self, row: usize) -> Vec<Cow<'_, str>> {
        let text = |value: Option<Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        match serde_json::from_slice(self.bytes(row)) {
            Ok(Value::Object(mut members)) => self.names.iter().map(|name| Cow::Owned(text(members.remove(name)))).collect(),
            _ => vec![Cow::Borrowed(""); self.names.len()],
        }
    }

    fn record(&self, row: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(row))
    }

    fn as_json(&self, row: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(row)).ok()
    }
}

/// An NDJSON table that is written.
pub struct NdjsonSink<'a> {
    out: NamedWriter<'a>,
    keys: Keys,
}

/// The keys of the members of a row, as JSON with a colon behind.
struct Keys {
    input: Vec<String>,
    predictions: Vec<String>,
    warnings: String,
}

impl<'a> NdjsonSink<'a> {
    /// A table with these columns.
    pub fn new(out: NamedWriter<'a>, columns: &OutputColumns) -> Self {
        let key = |name: &str| format!("{}:", Value::from(name));
        let keys = |names: &[String]| names.iter().map(|name| key(name)).collect();
        let (input, predictions) = (keys(&columns.input), keys(&columns.predictions));
        Self { out, keys: Keys { input, predictions, warnings: key(WARNINGS_COLUMN) } }
    }
}

impl RowSink for NdjsonSink<'_> {
    fn write(&mut self, blocks: &[PredictedBlock]) -> anyhow::Result<()> {
        let texts: Vec<Vec<u8>> = blocks.par_iter().map(|block| lines(&self.keys, block)).collect();
        texts.iter().try_for_each(|text| self.out.write(text))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The predicted rows of a block as lines. An object that came is written as it came; cells of another format are texts.
fn lines(keys: &Keys, predicted: &PredictedBlock) -> Vec<u8> {
    let mut out = Vec::new();
    for (place, row) in predicted.rows.iter().enumerate() {
        let members = predicted.block.as_json(*row).and_then(|object| object.trim_end().strip_suffix('}'));
        if let Some(members) = members {
            out.extend_from_slice(members.trim_end().as_bytes());
        } else {
            out.push(b'{');
            for (member, (key, cell)) in keys.input.iter().zip(predicted.block.texts(*row)).enumerate() {
                if member > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(key.as_bytes());
                push_text(&mut out, &cell);
            }
        }
        for (key, column) in keys.predictions.iter().zip(&predicted.predictions) {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            push_number(&mut out, column[place]);
        }
        out.push(b',');
        out.extend_from_slice(keys.warnings.as_bytes());
        out.extend_from_slice(Value::from(predicted.warnings[place].as_str()).to_string().as_bytes());
        out.extend_from_slice(b"}\n");
    }
    out
}

/// Appends a cell as a JSON string, an empty one as `null`.
fn push_text(out: &mut Vec<u8>, cell: &str) {
    if cell.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        out.extend_from_slice(Value::from(cell).to_string().as_bytes());
    }
}
