//! The served replay: the real server answers every test row over HTTP, and each answer must be the prediction that was measured.

mod rows;
mod server;

use std::{path::Path, time::Instant};

use anyhow::{Context, ensure};
use artifact::RunRecord;
use cli::{No, Progress};
use evaluation::for_each_test_block;
use model::Metrics;
use serde::Serialize;
use serde_json::Value;

use crate::lineage::Lineage;
use rows::{Measured, as_json};
use server::{Server, shortened};

/// Rows that are asked for one by one, for the time that it takes; all are asked for in lists, too.
const SINGLE: usize = 1000;
/// Rows of a list.
const LIST: usize = 1000;

/// What the server did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Replay {
    /// Test rows that were answered as they were measured.
    pub(crate) rows: usize,
    /// Of them asked for one by one.
    pub(crate) single: usize,
    /// Milliseconds of a single row's request: the median.
    pub(crate) p50_ms: f64,
    /// Its 99 % quantile.
    pub(crate) p99_ms: f64,
    /// Rows a second in lists.
    pub(crate) rows_per_second: f64,
    /// Milliseconds from its start until it was ready.
    pub(crate) startup_ms: f64,
    /// The most memory that it held, in bytes, where the system tells.
    pub(crate) memory_bytes: Option<u64>,
}

/// A served prediction that is not the measured one.
struct Difference {
    row: usize,
    measured: f64,
    served: f64,
    content: String,
}

/// Starts `program` on the bundle, sends it the test rows of the cleaned table, and compares.
///
/// # Errors
/// If the server cannot be started; or ([`No`]) if it does not serve what was measured: nothing may be packaged then.
pub(crate) fn replay(
    program: &Path,
    bundle: &Path,
    lineage: &Lineage,
    record: &RunRecord,
    progress: &Progress,
) -> anyhow::Result<Replay> {
    let refused = |fault: String| No(format!("replay: {fault}. Nothing was packaged"));
    let running = Server::start(program, bundle).map_err(|fault| match fault {
        server::Fault::NotStarted(error) => error,
        server::Fault::Refused(message) => refused(format!("the server does not take the bundle: {message}")).into(),
    })?;
    let measured = Measured::read(&lineage.predictions)?;
    let schema = &lineage.schema;
    let mut blocks: Vec<Vec<Value>> = Vec::new();
    let target = &schema.target().name;
    let key = format!("predicted_{target}");
    let rows = for_each_test_block(
        &lineage.cleaned,
        schema,
        progress,
        "reading",
        |table, _| Ok(as_json(&table, schema)),
        |block| {
            blocks.push(block);
            Ok(())
        },
    )?;
    if rows != measured.y_pred.len() {
        return Err(refused(format!(
            "{} has {rows} test rows, and {} were measured",
            lineage.cleaned.display(),
            measured.y_pred.len()
        ))
        .into());
    }
    let rows: Vec<Value> = blocks.into_iter().flatten().collect();
    let mut differences = Vec::new();
    let mut note = |row: usize, served: f64| {
        if served.to_bits() != measured.y_pred[row].to_bits() {
            differences.push(Difference { row, measured: measured.y_pred[row], served, content: shortened(&rows[row]) });
        }
    };

    let single = rows.len().min(SINGLE);
    let mut times = Vec::with_capacity(single);
    for (place, row) in rows[..single].iter().enumerate() {
        let begun = Instant::now();
        let answer = running.post("/predict", row)?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        let served = answer.body[&key].as_f64();
        let served = served.filter(|_| answer.status == 200).ok_or_else(|| refused(answer.of_row(place, row)))?;
        note(place, served);
    }
    let bar = progress.bar("replaying", rows.len() as u64);
    let mut served: Vec<f64> = Vec::with_capacity(rows.len());
    let begun = Instant::now();
    for list in rows.chunks(LIST) {
        let answer = running.post("/batch-predict", &Value::from(list))?;
        let numbers = answer.body.as_array().filter(|_| answer.status == 200);
        let numbers: Option<Vec<f64>> = numbers.and_then(|found| found.iter().map(Value::as_f64).collect());
        let numbers = numbers.filter(|numbers| numbers.len() == list.len());
        let numbers = numbers.ok_or_else(|| refused(answer.of_list(served.len())))?;
        numbers.iter().enumerate().for_each(|(place, value)| note(served.len() + place, *value));
        served.extend(numbers);
        bar.advance(list.len() as u64);
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop(bar);

    if let Some(first) = differences.iter().min_by_key(|difference| difference.row) {
        let mut places: Vec<usize> = differences.iter().map(|difference| difference.row).collect();
        places.sort_unstable();
        places.dedup();
        return Err(refused(format!(
            "{} of {} test rows are served otherwise than they were measured; the first is row {} ({}): {target} {} is served, {} was \
             measured",
            places.len(),
            rows.len(),
            first.row + 1,
            first.content,
            first.served,
            first.measured
        ))
        .into());
    }
    for (name, value) in Metrics::of(&measured.y_true, &served).named() {
        let recorded = record.metric(name).with_context(|| format!("metrics.json has no {name}"))?;
        if recorded.to_bits() != value.to_bits() {
            return Err(refused(format!("the {name} of what is served is {value}; the run has {recorded}")).into());
        }
    }
    let (startup_ms, memory_bytes) = (running.startup_ms, running.memory());
    let ended = running.stop()?;
    ensure!(ended.success(), "the server did not end well: {ended}");
    times.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(Replay {
        rows: rows.len(),
        single,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        rows_per_second: rows.len() as f64 / seconds,
        startup_ms,
        memory_bytes,
    })
}
