//! The summary of a training, for the terminal and as JSON.

use std::{collections::BTreeMap, path::Path};

use artifact::RunRecord;
use cli::Outcome;
use model::{format_metric, metric_label};
use serde::Serialize;

use crate::{config::Config, outputs::STAGE, tracking::session::RecordedRun};

#[derive(Serialize)]
struct Summary<'a> {
    stage: &'static str,
    status: &'static str,
    model: &'a Path,
    report: &'a Path,
    metrics: BTreeMap<&'a str, f64>,
    intervals: &'a BTreeMap<String, artifact::Interval>,
    warnings: &'a [String],
    run: &'a RecordedRun,
}

/// The outcome of the stage; `status` is `done` or `unchanged`.
pub(crate) fn summarise(config: &Config, status: &'static str, record: &RunRecord, run: &RecordedRun) -> Outcome {
    let finals = record.metrics.iter().filter(|point| point.step == 0);
    let metrics: BTreeMap<&str, f64> = finals.map(|point| (point.key.as_str(), point.value)).collect();
    let human = text(config, status, record, run, &metrics);
    let data = Summary {
        stage: STAGE,
        status,
        model: &config.model_file,
        report: &config.page_file,
        metrics,
        intervals: &record.intervals,
        warnings: &record.warnings,
        run,
    };
    Outcome::done(&data, human)
}

fn text(config: &Config, status: &str, record: &RunRecord, run: &RecordedRun, metrics: &BTreeMap<&str, f64>) -> String {
    let mut text = format!(
        "train     {status}: {} on {} rows of {} features, measured on {} test rows\n",
        config.algorithm.name(),
        record.rows(schema::TRAIN),
        record.features.len(),
        record.rows(schema::TEST)
    );
    for key in ["r2", "mae", "rmse", "mape", "median_ae"] {
        let (Some(value), Some(interval)) = (metrics.get(key), record.intervals.get(key)) else { continue };
        let validated = metrics
            .get(format!("cv_{key}").as_str())
            .map_or(String::new(), |value| format!("   cross-validated {}", format_metric(key, *value)));
        text.push_str(&format!(
            "          {:<13}{:>12}   95 % interval {} to {}{validated}\n",
            metric_label(key),
            format_metric(key, *value),
            format_metric(key, interval.low),
            format_metric(key, interval.high)
        ));
    }
    text.push_str(&format!("          → {} and report.html", config.model_file.display()));
    if status == "unchanged" {
        text.push_str(&format!(", recorded as {} (use --force to train again)", run.run_name));
    }
    if let Some(store) = &run.store {
        // a file is shown as the user wrote it, a server by its address
        let location = if run.unsent.is_some() { tracking::Location::default() } else { config.tracking.location.clone() };
        let shown = if store.starts_with("sqlite:") { location.to_string() } else { store.clone() };
        text.push_str(&format!(", run {} in {shown}", run.run_name));
    }
    if let Some(version) = &run.version {
        text.push_str(&format!("\n          → version {version} of {}, alias challenger", record.name));
    }
    if let Some(page) = &run.page {
        text.push_str(&format!("\n          → {page}"));
    }
    text
}
