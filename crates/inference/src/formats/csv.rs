//! Predicts the rows of a CSV table: the rows are written with the prediction after their cells.

use std::{
    borrow::Cow,
    cell,
    io::{self, Read, Write},
};

use csv::{ReaderBuilder, StringRecord, Writer, WriterBuilder};
use predictor::Prediction;
use rayon::prelude::*;

use crate::{
    blocks::{BlockGate, rows_per_task},
    formats::{
        json_scan::MAX_ROW_BYTES,
        table::{Header, MAX_BLOCK_ROWS, ScoringSummary, output_columns, predict_rows, rows_per_block},
    },
    loaded_model::LoadedModel,
    row_schema::RawValue,
};

/// Bytes of rows that are in memory together: one row more is read where there are fewer.
const BLOCK_BYTES: usize = 1 << 20;
/// Cells of a row above which its memory is not kept for the next one.
const MAX_KEPT_CELLS: usize = 1024;
/// Columns of a table at most.
const MAX_COLUMNS: usize = 1 << 12;

/// Predicts a table.
///
/// # Errors
/// If it cannot be read or written, its header does not fit, a row is too long, or its request has ended.
pub fn score(
    model: &LoadedModel,
    input: impl Read,
    output: impl Write,
    gate: &impl BlockGate,
) -> io::Result<ScoringSummary> {
    let read = cell::Cell::new(0);
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(BoundedRecords { input, read: &read });
    let header = reader.headers().map_err(|error| at_line(1, error))?.clone();
    let width = header.len();
    if width > MAX_COLUMNS {
        return Err(io::Error::other(format!("line 1: {width} columns are more than the {MAX_COLUMNS} that are taken")));
    }
    let names: Vec<&str> = header.iter().map(|name| name.trim().trim_start_matches('\u{feff}')).collect();
    let places =
        Header::find(&model.row_schema, &names).map_err(|message| io::Error::other(format!("line 1: {message}")))?;
    let output_columns = output_columns(model);
    if let Some(name) = output_columns.iter().find(|name| names.contains(&name.as_str())) {
        return Err(io::Error::other(format!("line 1: has a column \"{name}\" already; rename it")));
    }
    let mut writer = WriterBuilder::new().flexible(false).from_writer(output);
    writer.write_record(names.iter().copied().chain(output_columns.iter().map(String::as_str))).map_err(io_error)?;
    let mut scored = ScoringSummary::default();
    let mut records = vec![StringRecord::new(); rows_per_block(model.row_schema.fields.len())];
    loop {
        let (mut filled, mut bytes) = (0, 0);
        while filled < records.len() && bytes < BLOCK_BYTES {
            read.set(0);
            if !reader.read_record(&mut records[filled]).map_err(|error| at_line(reader.position().line(), error))? {
                break;
            }
            bytes += records[filled].as_slice().len() + records[filled].len();
            filled += 1;
        }
        if filled == 0 {
            break;
        }
        let turn = gate.begin_block()?;
        let values: Vec<Vec<RawValue>> = records[..filled]
            .par_iter()
            .with_min_len(rows_per_task(model.row_schema.fields.len()))
            .map(|record| {
                places.values(|place| record.get(place).map_or(RawValue::Absent, |cell| RawValue::Text(Cow::Borrowed(cell))))
            })
            .collect();
        let results = predict_rows(model, &values);
        drop(values);
        for (record, results) in records[..filled].iter().zip(results) {
            let results = match record.len() {
                found if found != width => Err(format!("has {found} fields where the header has {width}")),
                _ => results,
            };
            scored.count(record.position().map_or(0, csv::Position::line), &results);
            write_row(&mut writer, record, width, output_columns.len(), &results).map_err(io_error)?;
        }
        drop(turn);
        for record in &mut records[..filled] {
            if record.as_slice().len() > BLOCK_BYTES / MAX_BLOCK_ROWS || record.len() > MAX_KEPT_CELLS {
                *record = StringRecord::new();
            }
        }
    }
    writer.flush()?;
    Ok(scored)
}

fn write_row(
    writer: &mut Writer<impl Write>,
    record: &StringRecord,
    width: usize,
    output_columns: usize,
    results: &Result<Prediction, String>,
) -> csv::Result<()> {
    for place in 0..width {
        writer.write_field(record.get(place).unwrap_or_default())?;
    }
    let mut text = Vec::with_capacity(24);
    let mut number = |writer: &mut Writer<_>, value: f64| {
        text.clear();
        crate::prediction_json::push_number(&mut text, value);
        writer.write_field(&text)
    };
    match results {
        Ok(prediction) => {
            number(writer, prediction.value)?;
            if let Some((low, high)) = prediction.interval {
                number(writer, low)?;
                number(writer, high)?;
            }
            writer.write_field("")?;
        }
        Err(problem) => {
            for _ in 1..output_columns {
                writer.write_field("")?;
            }
            writer.write_field(problem)?;
        }
    }
    writer.write_record(None::<&[u8]>)
}

/// An input that ends with an error where a single record goes on for too long.
struct BoundedRecords<'a, R> {
    input: R,
    /// How many bytes were read since the record began.
    read: &'a cell::Cell<usize>,
}

impl<R: Read> Read for BoundedRecords<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.get() > MAX_ROW_BYTES {
            let message = format!("the record is longer than {MAX_ROW_BYTES} bytes, the limit");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let read = self.input.read(buffer)?;
        self.read.set(self.read.get() + read);
        Ok(read)
    }
}

/// The error of a record, with the line on which it begins where its length is at fault.
fn at_line(line: u64, error: csv::Error) -> io::Error {
    match error.kind() {
        csv::ErrorKind::Io(inner) if inner.kind() == io::ErrorKind::InvalidData => {
            io::Error::other(format!("line {line}: {inner}"))
        }
        _ => io_error(error),
    }
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.map_or(0, |pos| pos.line());
            io::Error::other(format!("line {line}: is not UTF-8 text"))
        }
        other => io::Error::other(format!("{other:?}")),
    }
}
