//! Rows as lines of JSON: an answer a line, in the same order.

use std::{
    io::{self, BufRead, Write},
    ops::Range,
};

use rayon::prelude::*;
use serde_json::json;

use crate::{
    admission::work::{Work, rows_per_task, tasks_per_block},
    api::predict::{push_interval, push_number},
    csv_rows::Scored,
    engine::Engine,
    fault::{Fault, FaultDetail},
    json_rows::{Unreadable, read_row},
    json_scan::LONGEST_ROW,
};

/// Bytes of lines that are in memory together: one line more is read where there are fewer.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of lines that one task works on, unless it has enough rows or one long line.
const TASK_BYTES: usize = 1 << 16;

/// Predicts a stream of rows.
///
/// # Errors
/// If it cannot be read or written, a line is too long, or its request has ended.
pub(crate) fn score(engine: &Engine, mut input: impl BufRead, mut output: impl Write, work: &Work) -> io::Result<Scored> {
    let mut scored = Scored::default();
    let rows_per_task = rows_per_task(engine.fields.fields.len());
    let most_rows = rows_per_task * tasks_per_block();
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        lines.clear();
        let mut blank = 0;
        while lines.len() < most_rows && text.len() < BLOCK_BYTES {
            let start = text.len();
            let read = io::Read::take(&mut input, LONGEST_ROW as u64).read_until(b'\n', &mut text)?;
            if read == 0 {
                break;
            }
            if read >= LONGEST_ROW {
                let line = scored.rows + scored.refused + lines.len() as u64 + 1;
                return Err(io::Error::other(format!("row {line}: is longer than {LONGEST_ROW} bytes")));
            }
            if text[start..].iter().all(u8::is_ascii_whitespace) {
                text.truncate(start);
                blank += read;
                if blank > LONGEST_ROW {
                    let line = scored.rows + scored.refused + lines.len() as u64 + 1;
                    return Err(io::Error::other(format!(
                        "row {line}: more than {LONGEST_ROW} bytes of blank lines before it"
                    )));
                }
            } else {
                lines.push(start..text.len());
            }
        }
        if lines.is_empty() {
            break;
        }
        let turn = work.begin_block()?;
        let tasks: Vec<&[Range<usize>]> = tasks(&lines, rows_per_task);
        let parts: Vec<(Vec<u8>, u64)> = tasks.par_iter().map(|lines| answer(engine, &text, lines)).collect();
        for (answers, refused) in parts {
            scored.refused += refused;
            output.write_all(&answers)?;
        }
        drop(turn);
        scored.rows += lines.len() as u64;
    }
    scored.rows -= scored.refused;
    output.flush()?;
    Ok(scored)
}

/// Lines in the parts that tasks work on.
fn tasks(mut lines: &[Range<usize>], rows_per_task: usize) -> Vec<&[Range<usize>]> {
    let mut tasks = Vec::new();
    while let Some(first) = lines.first() {
        let fits = |line: &&Range<usize>| line.end - first.start <= TASK_BYTES;
        let count = lines.iter().take(rows_per_task).take_while(fits).count().max(1);
        let (task, rest) = lines.split_at(count);
        tasks.push(task);
        lines = rest;
    }
    tasks
}

/// The answers to some lines, and how many of them have no prediction.
fn answer(engine: &Engine, text: &[u8], lines: &[Range<usize>]) -> (Vec<u8>, u64) {
    let mut faults: Vec<Vec<Fault>> = Vec::with_capacity(lines.len());
    let mut given = Vec::with_capacity(lines.len());
    let mut unreadable: Vec<Option<String>> = Vec::with_capacity(lines.len());
    for line in lines {
        match read_row(&engine.fields, &text[line.clone()]) {
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
    let judge =
        |(given, faults): (_, &mut Vec<Fault>)| engine.fields.judge(given, &engine.predictor, FaultDetail::Whole, faults);
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
