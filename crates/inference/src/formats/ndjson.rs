//! Predicts rows that are lines of JSON: one line of output for each row, in the same order.

use std::{
    io::{self, BufRead, Write},
    ops::Range,
};

use rayon::prelude::*;
use serde_json::json;

use crate::{
    blocks::BlockGate,
    blocks::{rows_per_task, tasks_per_block},
    formats::{
        json::{Unreadable, read_row},
        json_scan::MAX_ROW_BYTES,
        table::ScoringSummary,
    },
    loaded_model::LoadedModel,
    prediction_json::{push_interval, push_number},
    validation::{ErrorDetail, FieldError},
};

/// Bytes of lines that are in memory together: one line more is read where there are fewer.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of lines that one task works on, unless it has enough rows or one long line.
const TASK_BYTES: usize = 1 << 16;

/// Predicts a stream of rows.
///
/// # Errors
/// If it cannot be read or written, a line is too long, or its request has ended.
pub fn score(
    model: &LoadedModel,
    mut input: impl BufRead,
    mut output: impl Write,
    gate: &impl BlockGate,
) -> io::Result<ScoringSummary> {
    let mut scored = ScoringSummary::default();
    let rows_per_task = rows_per_task(model.row_schema.fields.len());
    let most_rows = rows_per_task * tasks_per_block();
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    loop {
        text.clear();
        lines.clear();
        let mut blank = 0;
        while lines.len() < most_rows && text.len() < BLOCK_BYTES {
            let start = text.len();
            let read = io::Read::take(&mut input, MAX_ROW_BYTES as u64).read_until(b'\n', &mut text)?;
            if read == 0 {
                break;
            }
            if read >= MAX_ROW_BYTES {
                let line = scored.rows + scored.refused + lines.len() as u64 + 1;
                return Err(io::Error::other(format!("row {line}: is longer than {MAX_ROW_BYTES} bytes")));
            }
            if text[start..].iter().all(u8::is_ascii_whitespace) {
                text.truncate(start);
                blank += read;
                if blank > MAX_ROW_BYTES {
                    let line = scored.rows + scored.refused + lines.len() as u64 + 1;
                    return Err(io::Error::other(format!(
                        "row {line}: more than {MAX_ROW_BYTES} bytes of blank lines before it"
                    )));
                }
            } else {
                lines.push(start..text.len());
            }
        }
        if lines.is_empty() {
            break;
        }
        let turn = gate.begin_block()?;
        let tasks: Vec<&[Range<usize>]> = tasks(&lines, rows_per_task);
        let parts: Vec<(Vec<u8>, u64)> = tasks.par_iter().map(|lines| answer(model, &text, lines)).collect();
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
fn answer(model: &LoadedModel, text: &[u8], lines: &[Range<usize>]) -> (Vec<u8>, u64) {
    let mut errors: Vec<Vec<FieldError>> = Vec::with_capacity(lines.len());
    let mut values = Vec::with_capacity(lines.len());
    let mut unreadable: Vec<Option<String>> = Vec::with_capacity(lines.len());
    for line in lines {
        match read_row(&model.row_schema, &text[line.clone()]) {
            Ok(row) => {
                values.push(row.values);
                errors.push(row.errors);
                unreadable.push(None);
            }
            Err(Unreadable::Syntax(message) | Unreadable::Form(message)) => {
                values.push(vec![crate::row_schema::RawValue::Absent; model.row_schema.fields.len()]);
                errors.push(Vec::new());
                unreadable.push(Some(message));
            }
        }
    }
    let validate = |(values, errors): (_, &mut Vec<FieldError>)| {
        model.row_schema.validate(values, &model.predictor, ErrorDetail::Whole, errors)
    };
    let validated: Vec<_> = values.iter().map(Vec::as_slice).zip(&mut errors).map(validate).collect();
    let predictions = model.predict_many(&validated, true);
    let (mut out, mut refused) = (Vec::with_capacity(lines.len() * 96), 0);
    for (place, prediction) in predictions.iter().enumerate() {
        let error = if let Some(message) = &unreadable[place] {
            Some(json!({"error": message, "detail": []}))
        } else if !errors[place].is_empty() {
            let results: Vec<_> = errors[place].iter().map(FieldError::to_json).collect();
            Some(json!({"error": errors[place][0].text(), "detail": results}))
        } else if !prediction.value.is_finite() {
            Some(json!({"error": FieldError::no_prediction().text(), "detail": []}))
        } else {
            None
        };
        if let Some(error) = error {
            refused += 1;
            out.extend(error.to_string().into_bytes());
        } else {
            model.count(&validated[place], prediction.value);
            out.extend_from_slice(model.keys.prediction.as_bytes());
            push_number(&mut out, prediction.value);
            out.extend_from_slice(b",\"confidence_interval\":");
            push_interval(&mut out, prediction.interval);
            out.push(b'}');
        }
        out.push(b'\n');
    }
    (out, refused)
}
