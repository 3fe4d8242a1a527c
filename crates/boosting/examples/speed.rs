//! Measures fitting and predicting of a table of numbers and prints one JSON line, for `scripts/bench.py`.
//!
//! `speed FILE TARGET ALGORITHM`: a CSV file with a column `split` (`train` or `test`); `boosting` for LightGBM's default settings, `forest`
//! for a random forest of full trees.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::{env, fs, process::ExitCode, time::Instant};

use boosting::{BoostingParameters, EnsembleOutput, ForestParameters, Trees, fit, fit_forest};
use serde_json::json;

/// Rows that are predicted together, and rows that are predicted one by one.
const BATCH: usize = 1_000_000;
const SINGLE: usize = 2000;

struct Rows {
    columns: Vec<Vec<f64>>,
    y: Vec<f64>,
}

fn read(path: &str, target: &str) -> Option<[Rows; 2]> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split(',').collect();
    let (split, target) = (names.iter().position(|name| *name == "split")?, names.iter().position(|name| *name == target)?);
    let features: Vec<usize> = (0..names.len()).filter(|place| *place != split && *place != target).collect();
    let empty = || Rows { columns: vec![Vec::new(); features.len()], y: Vec::new() };
    let mut sides = [empty(), empty()];
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let side = &mut sides[usize::from(cells[split] == "test")];
        for (column, place) in side.columns.iter_mut().zip(&features) {
            column.push(cells[*place].parse().unwrap_or(f64::NAN));
        }
        side.y.push(cells[target].parse().ok()?);
    }
    Some(sides)
}

/// The smallest number of seconds of several runs, and the result of the last one.
fn fastest<T>(runs: usize, mut work: impl FnMut() -> T) -> (f64, T) {
    let mut best = f64::INFINITY;
    let mut last = None;
    for _ in 0..runs {
        let started = Instant::now();
        last = Some(work());
        best = best.min(started.elapsed().as_secs_f64());
    }
    (best, last.expect("a run"))
}

fn resident_mb(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, path, target, algorithm] = arguments.as_slice() else { return ExitCode::from(2) };
    let Some([train, test]) = read(path, target) else { return ExitCode::from(2) };
    let runs = if train.y.len() > 500_000 { 3 } else { 5 };
    // the peak is counted from here on (Linux)
    let _ = fs::write("/proc/self/clear_refs", "5");
    let loaded_mb = resident_mb("VmRSS");
    let (fit_s, (base, factor, trees)): (f64, (f64, f64, Trees)) = if algorithm == "forest" {
        let tree = BoostingParameters { max_leaves: None, min_samples_leaf: 1, ..BoostingParameters::default() };
        let forest = ForestParameters { tree, bootstrap: true, random_thresholds: false };
        let (seconds, trees) = fastest(1, || fit_forest(&train.columns, &train.y, &forest).expect("a forest"));
        (seconds, (0.0, 1.0 / trees.len() as f64, trees))
    } else {
        // LightGBM counts the bin of missing values among its 255
        let parameters = BoostingParameters { max_bins: 254, ..BoostingParameters::default() };
        let (seconds, fitted) = fastest(runs, || fit(&train.columns, &train.y, None, &parameters).expect("a model"));
        (seconds, (fitted.base, 1.0, fitted.trees))
    };
    let fit_mb = resident_mb("VmHWM") - loaded_mb;
    let sum = EnsembleOutput { base, factor };
    let predicted = trees.predict(&test.columns, test.y.len(), sum);
    let squares = predicted.iter().zip(&test.y).map(|(p, y)| (p - y).powi(2));
    let rmse = (squares.sum::<f64>() / test.y.len() as f64).sqrt();
    let batch: Vec<Vec<f64>> =
        test.columns.iter().map(|column| column.iter().copied().cycle().take(BATCH).collect()).collect();
    let (batch_s, _) = fastest(3, || trees.predict(&batch, BATCH, sum));
    let rows: Vec<Vec<f64>> = (0..SINGLE).map(|row| batch.iter().map(|column| column[row]).collect()).collect();
    let (single_s, _) = fastest(5, || rows.iter().map(|row| trees.predict_row(row, sum)).sum::<f64>());
    println!(
        "{}",
        json!({
            "rows_train": train.y.len(), "fit_s": fit_s, "fit_mb": fit_mb, "rmse": rmse,
            "rows_per_s": BATCH as f64 / batch_s, "row_us": single_s / SINGLE as f64 * 1e6,
        })
    );
    ExitCode::SUCCESS
}
