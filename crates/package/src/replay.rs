//! Replays the test rows: a real server predicts each of them over HTTP, and every prediction must equal the evaluated one.

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
        server_process::{ServerProcess, shorten},
        test_rows::{TestPredictions, rows_to_json},
    },
};

/// Rows that are also sent one by one, to measure the latency.
const SINGLE_ROW_REQUESTS: usize = 1000;
/// Rows per list.
const ROWS_PER_LIST: usize = 1000;

/// The measurements of a replay.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Replay {
    /// Test rows with the evaluated prediction.
    pub(crate) rows: usize,
    /// Rows that were also sent one by one.
    pub(crate) single: usize,
    /// Median latency of a single row in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 % quantile of that latency.
    pub(crate) p99_ms: f64,
    /// Rows per second in lists.
    pub(crate) rows_per_second: f64,
    /// Milliseconds from start to readiness.
    pub(crate) startup_ms: f64,
    /// Peak memory in bytes, where the system reports it.
    pub(crate) memory_bytes: Option<u64>,
}

/// A served prediction that differs from the evaluated one.
struct Difference {
    evaluated: f64,
    served: f64,
    content: String,
}

/// Starts `program` on the bundle, sends it the test rows of the cleaned table, and compares the predictions.
///
/// # Errors
/// If the server cannot be started; [`Refused`] if it does not serve the evaluated predictions.
pub(crate) fn replay(
    program: &Path,
    bundle: &Path,
    lineage: &Lineage,
    record: &RunRecord,
    progress: &Progress,
) -> anyhow::Result<Replay> {
    let server = ServerProcess::start(program, bundle).map_err(|error| match error {
        server_process::StartError::NotStarted(error) => error,
        server_process::StartError::Rejected(message) => replay_failed(format!("the server rejects the bundle: {message}")),
    })?;
    let schema = &lineage.schema;
    let mut comparison = ReplayComparison {
        server: &server,
        key: format!("predicted_{}", schema.target().name),
        evaluated: TestPredictions::read(&lineage.predictions)?,
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
        |table, _| Ok(rows_to_json(&table, schema)),
        |block| block.chunks(ROWS_PER_LIST).try_for_each(|list| comparison.send(list)),
    )?;
    comparison.verify(lineage, record)?;
    let ReplayComparison { served, mut times, seconds, .. } = comparison;
    let (startup_ms, memory_bytes) = (server.startup_ms, server.memory());
    let status = server.stop()?;
    ensure!(status.success(), "the server did not exit cleanly: {status}");
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

/// The error of a replay that does not match.
fn replay_failed(problem: String) -> anyhow::Error {
    Refused(format!("replay: {problem}. Nothing was packaged")).into()
}

/// A replay in progress.
struct ReplayComparison<'a> {
    server: &'a ServerProcess,
    /// The key of the prediction in a response.
    key: String,
    evaluated: TestPredictions,
    /// The served predictions, in the order of the rows.
    served: Vec<f64>,
    /// By row.
    differences: BTreeMap<usize, Difference>,
    /// Milliseconds of each single request.
    times: Vec<f64>,
    /// Seconds of all list requests.
    seconds: f64,
}

impl ReplayComparison<'_> {
    /// Sends the next rows: the first ones one by one, and all of them as a list.
    fn send(&mut self, list: &[Value]) -> anyhow::Result<()> {
        let from = self.served.len();
        for (row, content) in list.iter().enumerate().take(SINGLE_ROW_REQUESTS.saturating_sub(from)) {
            let started = Instant::now();
            let response = self.server.post("/predict", content)?;
            self.times.push(started.elapsed().as_secs_f64() * 1000.0);
            let served = response.body[&self.key].as_f64().filter(|_| response.status == 200);
            self.compare(
                from + row,
                content,
                served.ok_or_else(|| replay_failed(response.describe_row(from + row, content)))?,
            );
        }
        let started = Instant::now();
        let response = self.server.post("/batch-predict", &Value::from(list))?;
        self.seconds += started.elapsed().as_secs_f64();
        let numbers = response.body.as_array().filter(|_| response.status == 200);
        let numbers: Option<Vec<f64>> = numbers.and_then(|values| values.iter().map(Value::as_f64).collect());
        let numbers = numbers.filter(|numbers| numbers.len() == list.len());
        let numbers = numbers.ok_or_else(|| replay_failed(response.describe_list(from)))?;
        for (row, (content, served)) in list.iter().zip(&numbers).enumerate() {
            self.compare(from + row, content, *served);
        }
        self.served.extend(numbers);
        Ok(())
    }

    fn compare(&mut self, row: usize, content: &Value, served: f64) {
        // the number of rows is compared at the end
        let Some(evaluated) = self.evaluated.y_pred.get(row).copied() else { return };
        if served.to_bits() != evaluated.to_bits() {
            let content = || Difference { evaluated, served, content: shorten(content) };
            self.differences.entry(row).or_insert_with(content);
        }
    }

    /// Checks that all rows were served, with the evaluated predictions and the metrics of the run.
    fn verify(&self, lineage: &Lineage, record: &RunRecord) -> anyhow::Result<()> {
        let (rows, evaluated) = (self.served.len(), self.evaluated.y_pred.len());
        if rows != evaluated {
            let cleaned = lineage.cleaned.display();
            return Err(replay_failed(format!("{cleaned} has {rows} test rows, but {evaluated} were evaluated")));
        }
        if let Some((row, Difference { content, served, evaluated })) = self.differences.first_key_value() {
            return Err(replay_failed(format!(
                "{} of {rows} served predictions differ from the evaluated ones; the first is test row {} ({content}): {} is served as \
                 {served}, but was evaluated as {evaluated}",
                self.differences.len(),
                row + 1,
                lineage.schema.target().name
            )));
        }
        for (name, value) in Metrics::compute(&self.evaluated.y_true, &self.served).named() {
            let recorded = record.metric(name).with_context(|| format!("metrics.json has no {name}"))?;
            if recorded.to_bits() != value.to_bits() {
                return Err(replay_failed(format!(
                    "the {name} of the served predictions is {value}, but the run recorded {recorded}"
                )));
            }
        }
        Ok(())
    }
}
