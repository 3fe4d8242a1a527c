//! Rows of CSV, as they came, with the prediction beside them. The server and `serve predict` come here alike.

use std::{
    borrow::Cow,
    cell,
    io::{self, Read, Write},
};

use csv::{ReaderBuilder, StringRecord, Writer, WriterBuilder};
use features::Cell;
use predictor::Prediction;
use rayon::prelude::*;
use schema::nearest;

use crate::{
    admission::work::{Work, rows_per_task, tasks_per_block},
    engine::Engine,
    fault::{Fault, FaultDetail},
    fields::{Field, Fields, Given},
    json_scan::LONGEST_ROW,
};

/// Rows that are in memory together at most.
const BLOCK: usize = 4096;
/// Bytes of rows that are in memory together: one row more is read where there are fewer.
const BLOCK_BYTES: usize = 1 << 20;
/// Cells of a row above which its memory is not kept for the next one.
const MANY_CELLS: usize = 1024;
/// Columns of a table at most.
const MOST_COLUMNS: usize = 1 << 12;

/// What came of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scored {
    /// Rows with a prediction.
    pub(crate) rows: u64,
    /// Rows without one.
    pub(crate) refused: u64,
    /// The first of those: its line and what is wrong.
    pub(crate) first_fault: Option<String>,
}

/// Where the fields are in a table.
pub(crate) struct Header {
    /// Per field its column.
    places: Vec<Option<usize>>,
}

impl Header {
    /// Finds the fields among the names of columns. Columns that the model does not know are passed on.
    ///
    /// # Errors
    /// If a required column is not there, one is there twice, or one is probably misspelt.
    pub(crate) fn find(fields: &Fields, names: &[&str]) -> Result<Self, String> {
        let mut places = Vec::new();
        for field in &fields.fields {
            let mut found = names.iter().enumerate().filter(|(_, name)| **name == field.name()).map(|(place, _)| place);
            let place = found.next();
            if found.next().is_some() {
                return Err(format!("the column \"{}\" is there twice", field.name()));
            }
            if place.is_none() {
                let others = names.iter().copied().filter(|name| fields.place(name).is_none() && !fields.is_unused(name));
                if let Some(near) = nearest(field.name(), others) {
                    return Err(format!("there is no column \"{}\", but \"{near}\": is it misspelt?", field.name()));
                }
                if field.column.spec.required {
                    return Err(format!("there is no column \"{}\", which is required", field.name()));
                }
            }
            places.push(place);
        }
        if places.iter().all(Option::is_none) {
            let known: Vec<&str> = fields.fields.iter().map(Field::name).collect();
            return Err(format!("none of the columns {} is there; is the first line a header?", known.join(", ")));
        }
        Ok(Self { places })
    }

    /// Whether a field is made of this column.
    pub(crate) fn is_used(&self, column: usize) -> bool {
        self.places.contains(&Some(column))
    }

    /// The values of a row, field by field.
    pub(crate) fn given<'a>(&self, cell: impl Fn(usize) -> Given<'a>) -> Vec<Given<'a>> {
        self.places.iter().map(|place| place.map_or(Given::Absent, &cell)).collect()
    }
}

/// The columns that are written beside those that came.
pub(crate) fn added(engine: &Engine) -> Vec<String> {
    let name = format!("predicted_{}", engine.target());
    let bounds = ["low", "high"].map(|end| format!("{name}_{end}"));
    let interval = engine.predictor.model().file().interval.is_some();
    let bounds = bounds.into_iter().filter(|_| interval);
    [name.clone()].into_iter().chain(bounds).chain(["problem".to_owned()]).collect()
}

/// Predicts rows of values, and counts them among the last ones: a prediction, or what is wrong.
pub(crate) fn predict(engine: &Engine, rows: &[Vec<Given>]) -> Vec<Result<Prediction, String>> {
    rows.par_chunks(rows_per_task(engine.fields.fields.len()))
        .flat_map_iter(|rows| {
            let mut judged: Vec<Vec<Cell>> = Vec::with_capacity(rows.len());
            let mut problems = Vec::with_capacity(rows.len());
            for given in rows {
                let mut faults = Vec::new();
                judged.push(engine.fields.judge(given, &engine.predictor, FaultDetail::Whole, &mut faults));
                problems.push((!faults.is_empty()).then(|| text_of(&faults)));
            }
            let predictions = engine.predict_many(&judged, true);
            let told: Vec<Result<Prediction, String>> = predictions
                .into_iter()
                .zip(problems)
                .zip(&judged)
                .map(|((prediction, problem), cells)| match problem {
                    Some(problem) => Err(problem),
                    None if !prediction.value.is_finite() => Err(Fault::no_prediction().text()),
                    None => {
                        engine.count(cells, prediction.value);
                        Ok(prediction)
                    }
                })
                .collect();
            told
        })
        .collect()
}

fn text_of(faults: &[Fault]) -> String {
    faults.iter().map(Fault::text).collect::<Vec<_>>().join("; ")
}

/// Rows of so many fields that are in memory together at most.
pub(crate) fn rows_per_block(fields: usize) -> usize {
    BLOCK.min(rows_per_task(fields) * tasks_per_block())
}

/// Predicts a table.
///
/// # Errors
/// If it cannot be read or written, its header does not fit, a row is too long, or its request has ended.
pub(crate) fn score(engine: &Engine, input: impl Read, output: impl Write, work: &Work) -> io::Result<Scored> {
    let read = cell::Cell::new(0);
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(RecordBounded { input, read: &read });
    let header = reader.headers().map_err(|error| at_line(1, error))?.clone();
    let width = header.len();
    if width > MOST_COLUMNS {
        return Err(io::Error::other(format!("line 1: {width} columns are more than the {MOST_COLUMNS} that are taken")));
    }
    let names: Vec<&str> = header.iter().map(|name| name.trim().trim_start_matches('\u{feff}')).collect();
    let places = Header::find(&engine.fields, &names).map_err(|message| io::Error::other(format!("line 1: {message}")))?;
    let added = added(engine);
    if let Some(name) = added.iter().find(|name| names.contains(&name.as_str())) {
        return Err(io::Error::other(format!("line 1: has a column \"{name}\" already; rename it")));
    }
    let mut writer = WriterBuilder::new().flexible(false).from_writer(output);
    writer.write_record(names.iter().copied().chain(added.iter().map(String::as_str))).map_err(io_error)?;
    let mut scored = Scored::default();
    let mut records = vec![StringRecord::new(); rows_per_block(engine.fields.fields.len())];
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
        let turn = work.begin_block()?;
        let given: Vec<Vec<Given>> = records[..filled]
            .par_iter()
            .with_min_len(rows_per_task(engine.fields.fields.len()))
            .map(|record| {
                places.given(|place| record.get(place).map_or(Given::Absent, |cell| Given::Text(Cow::Borrowed(cell))))
            })
            .collect();
        let told = predict(engine, &given);
        drop(given);
        for (record, told) in records[..filled].iter().zip(told) {
            let told = match record.len() {
                found if found != width => Err(format!("has {found} fields where the header has {width}")),
                _ => told,
            };
            scored.count(record, &told);
            write_row(&mut writer, record, width, added.len(), &told).map_err(io_error)?;
        }
        drop(turn);
        for record in &mut records[..filled] {
            if record.as_slice().len() > BLOCK_BYTES / BLOCK || record.len() > MANY_CELLS {
                *record = StringRecord::new();
            }
        }
    }
    writer.flush()?;
    Ok(scored)
}

impl Scored {
    fn count(&mut self, record: &StringRecord, told: &Result<Prediction, String>) {
        match told {
            Ok(_) => self.rows += 1,
            Err(problem) => {
                self.refused += 1;
                let line = record.position().map_or(0, csv::Position::line);
                self.first_fault.get_or_insert_with(|| format!("line {line}: {problem}"));
            }
        }
    }
}

fn write_row(
    writer: &mut Writer<impl Write>,
    record: &StringRecord,
    width: usize,
    added: usize,
    told: &Result<Prediction, String>,
) -> csv::Result<()> {
    for place in 0..width {
        writer.write_field(record.get(place).unwrap_or_default())?;
    }
    let mut text = Vec::with_capacity(24);
    let mut number = |writer: &mut Writer<_>, value: f64| {
        text.clear();
        crate::api::predict::push_number(&mut text, value);
        writer.write_field(&text)
    };
    match told {
        Ok(prediction) => {
            number(writer, prediction.value)?;
            if let Some((low, high)) = prediction.interval {
                number(writer, low)?;
                number(writer, high)?;
            }
            writer.write_field("")?;
        }
        Err(problem) => {
            for _ in 1..added {
                writer.write_field("")?;
            }
            writer.write_field(problem)?;
        }
    }
    writer.write_record(None::<&[u8]>)
}

/// An input that ends with an error where a single record goes on for too long.
struct RecordBounded<'a, R> {
    input: R,
    /// How many bytes were read since the record began.
    read: &'a cell::Cell<usize>,
}

impl<R: Read> Read for RecordBounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.get() > LONGEST_ROW {
            let message = format!("the record is longer than {LONGEST_ROW} bytes, the limit");
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
