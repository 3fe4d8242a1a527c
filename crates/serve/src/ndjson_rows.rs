//! Rows as lines of JSON: an answer a line, in the same order.

use std::io::{self, BufRead, Write};

use rayon::prelude::*;
use serde_json::json;

use crate::{
    csv_rows::Scored,
    engine::Engine,
    fault::Fault,
    json_rows::{Unreadable, read_row},
    predict::{push_interval, push_number},
};

/// Rows that are in memory together.
const BLOCK: usize = 8192;
/// Rows that one task predicts.
const ROWS_PER_TASK: usize = 1024;
/// A longer line is not read.
const LONGEST: usize = 1 << 20;

/// Predicts a stream of rows.
///
/// # Errors
/// If it cannot be read or written, or a line is too long.
pub(crate) fn score(engine: &Engine, mut input: impl BufRead, mut output: impl Write) -> io::Result<Scored> {
    let mut scored = Scored::default();
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        ends.clear();
        while ends.len() < BLOCK && text.len() < BLOCK * 256 {
            let start = text.len();
            let read = io::Read::take(&mut input, LONGEST as u64).read_until(b'\n', &mut text)?;
            if read == 0 {
                break;
            }
            if read >= LONGEST {
                let line = scored.rows + scored.refused + ends.len() as u64 + 1;
                return Err(io::Error::other(format!("row {line}: is longer than {LONGEST} bytes")));
            }
            if text[start..].iter().all(u8::is_ascii_whitespace) {
                text.truncate(start);
            } else {
                ends.push(text.len());
            }
        }
        if ends.is_empty() {
            break;
        }
        let starts: Vec<usize> = [0].into_iter().chain(ends.iter().copied()).collect();
        let lines: Vec<&[u8]> = starts.iter().zip(&ends).map(|(start, end)| &text[*start..*end]).collect();
        let parts: Vec<(Vec<u8>, u64)> = lines.par_chunks(ROWS_PER_TASK).map(|lines| answer(engine, lines)).collect();
        for (answers, refused) in parts {
            scored.refused += refused;
            output.write_all(&answers)?;
        }
        scored.rows += lines.len() as u64;
    }
    scored.rows -= scored.refused;
    output.flush()?;
    Ok(scored)
}

/// The answers to some lines, and how many of them have no prediction.
fn answer(engine: &Engine, lines: &[&[u8]]) -> (Vec<u8>, u64) {
    let mut faults: Vec<Vec<Fault>> = Vec::with_capacity(lines.len());
    let mut given = Vec::with_capacity(lines.len());
    let mut unreadable: Vec<Option<String>> = Vec::with_capacity(lines.len());
    for line in lines {
        match read_row(&engine.fields, line) {
            Ok(row) => {
                given.push(row.given);
                faults.push(row.faults);
                unreadable.push(None);
            }
            Err(Unreadable::Syntax(message) | Unreadable::Form(message)) => {
                given.push(vec![crate::fields::Given::Absent; engine.fields.fields.len()]);
                faults.push(Vec::new());
                unreadable.push(Some(message));
            }
        }
    }
    let judge = |(given, faults): (_, &mut Vec<Fault>)| engine.fields.judge(given, &engine.predictor, faults);
    let judged: Vec<_> = given.iter().map(Vec::as_slice).zip(&mut faults).map(judge).collect();
    let predictions = engine.predict_many(&judged, true);
    let (mut out, mut refused) = (Vec::with_capacity(lines.len() * 96), 0);
    for (place, prediction) in predictions.iter().enumerate() {
        let error = if let Some(message) = &unreadable[place] {
            Some(json!({"error": message, "detail": []}))
        } else if !faults[place].is_empty() {
            let told: Vec<_> = faults[place].iter().map(Fault::to_json).collect();
            Some(json!({"error": faults[place][0].text(), "detail": told}))
        } else if !prediction.value.is_finite() {
            Some(json!({"error": Fault::no_prediction().text(), "detail": []}))
        } else {
            None
        };
        if let Some(error) = error {
            refused += 1;
            out.extend(error.to_string().into_bytes());
        } else {
            engine.count(&judged[place], prediction.value);
            out.extend_from_slice(engine.keys.prediction.as_bytes());
            push_number(&mut out, prediction.value);
            out.extend_from_slice(b",\"confidence_interval\":");
            push_interval(&mut out, prediction.interval);
            out.push(b'}');
        }
        out.push(b'\n');
    }
    (out, refused)
}
