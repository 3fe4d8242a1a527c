//! The served replay: the real server answers every test row over HTTP, and each answer must be the prediction that was measured.

pub(crate) mod server_process;
pub(crate) mod test_rows;

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::{Context, ensure};
use artifact::RunRecord;
use cli::{Progress, Refused};
use evaluation::for_each_test_block;
use model::Metrics;
use serde::Serialize;
use serde_json::Value;

use crate::{
    bundle::lineage::Lineage,
    replay::{
        server_process::{Server, shortened},
        test_rows::{Measured, as_json},
    },
};

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
    measured: f64,
    served: f64,
    content: String,
}

/// Starts `program` on the bundle, sends it the test rows of the cleaned table, and compares.
///
/// # Errors
/// If the server cannot be started; or ([`Refused`]) if it does not serve what was measured: nothing may be packaged then.
pub(crate) fn replay(
    program: &Path,
    bundle: &Path,
    lineage: &Lineage,
    record: &RunRecord,
    progress: &Progress,
) -> anyhow::Result<Replay> {
    let running = Server::start(program, bundle).map_err(|fault| match fault {
        server_process::Fault::NotStarted(error) => error,
        server_process::Fault::Refused(message) => refused(format!("the server does not take the bundle: {message}")),
    })?;
    let schema = &lineage.schema;
    let mut rehearsal = Rehearsal {
        server: &running,
        key: format!("predicted_{}", schema.target().name),
        measured: Measured::read(&lineage.predictions)?,
        served: Vec::new(),
        differences: BTreeMap::new(),
        times: Vec::new(),
        seconds: 0.0,
    };
    for_each_test_block(
        &lineage.cleaned,
        schema,
        progress,
        "replaying",
        |table, _| Ok(as_json(&table, schema)),
        |block| block.chunks(LIST).try_for_each(|list| rehearsal.take(list)),
    )?;
    rehearsal.judge(lineage, record)?;
    let Rehearsal { served, mut times, seconds, .. } = rehearsal;
    let (startup_ms, memory_bytes) = (running.startup_ms, running.memory());
    let ended = running.stop()?;
    ensure!(ended.success(), "the server did not end well: {ended}");
    times.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(Replay {
        rows: served.len(),
        single: times.len(),
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        rows_per_second: served.len() as f64 / seconds,
        startup_ms,
        memory_bytes,
    })
}

/// The answer is no.
fn refused(fault: String) -> anyhow::Error {
    Refused(format!("replay: {fault}. Nothing was packaged")).into()
}

/// A replay under way.
struct Rehearsal<'a> {
    server: &'a Server,
    /// The field of an answer that holds the prediction.
    key: String,
    measured: Measured,
    /// What lists were answered with, in the order of the rows.
    served: Vec<f64>,
    /// By row.
    differences: BTreeMap<usize, Difference>,
    /// Milliseconds of each single request.
    times: Vec<f64>,
    /// What lists took together.
    seconds: f64,
}

impl Rehearsal<'_> {
    /// Asks for the next rows: the first ones one by one, and all of them as a list.
    fn take(&mut self, list: &[Value]) -> anyhow::Result<()> {
        let from = self.served.len();
        for (row, content) in list.iter().enumerate().take(SINGLE.saturating_sub(from)) {
            let begun = Instant::now();
            let answer = self.server.post("/predict", content)?;
            self.times.push(begun.elapsed().as_secs_f64() * 1000.0);
            let served = answer.body[&self.key].as_f64().filter(|_| answer.status == 200);
            self.compare(from + row, content, served.ok_or_else(|| refused(answer.of_row(from + row, content)))?);
        }
        let begun = Instant::now();
        let answer = self.server.post("/batch-predict", &Value::from(list))?;
        self.seconds += begun.elapsed().as_secs_f64();
        let numbers = answer.body.as_array().filter(|_| answer.status == 200);
        let numbers: Option<Vec<f64>> = numbers.and_then(|found| found.iter().map(Value::as_f64).collect());
        let numbers = numbers.filter(|numbers| numbers.len() == list.len());
        let numbers = numbers.ok_or_else(|| refused(answer.of_list(from)))?;
        for (row, (content, served)) in list.iter().zip(&numbers).enumerate() {
            self.compare(from + row, content, *served);
        }
        self.served.extend(numbers);
        Ok(())
    }

    fn compare(&mut self, row: usize, content: &Value, served: f64) {
        // that there are as many is looked at when all are there
        let Some(measured) = self.measured.y_pred.get(row).copied() else { return };
        if served.to_bits() != measured.to_bits() {
            let content = || Difference { measured, served, content: shortened(content) };
            self.differences.entry(row).or_insert_with(content);
        }
    }

    /// Whether all rows came, every prediction is the measured one, and the figures are those of the run.
    fn judge(&self, lineage: &Lineage, record: &RunRecord) -> anyhow::Result<()> {
        let (rows, measured) = (self.served.len(), self.measured.y_pred.len());
        if rows != measured {
            let cleaned = lineage.cleaned.display();
            return Err(refused(format!("{cleaned} has {rows} test rows, and {measured} were measured")));
        }
        if let Some((row, Difference { content, served, measured })) = self.differences.first_key_value() {
            return Err(refused(format!(
                "{} of {rows} test rows are served otherwise than they were measured; the first is row {} ({content}): {} {served} is \
                 served, {measured} was measured",
                self.differences.len(),
                row + 1,
                lineage.schema.target().name
            )));
        }
        for (name, value) in Metrics::compute(&self.measured.y_true, &self.served).named() {
            let recorded = record.metric(name).with_context(|| format!("metrics.json has no {name}"))?;
            if recorded.to_bits() != value.to_bits() {
                return Err(refused(format!("the {name} of what is served is {value}; the run has {recorded}")));
            }
        }
        Ok(())
    }
}
