//! Kernels of boosting, on one thread: bins, histograms, the search for a split, and the traversal of trees. Run `just kernels`.

use boosting::{
    BoostingParameters, EnsembleOutput, Trees, fit,
    kernels::{Histograms, KernelInput},
};
use divan::{Bencher, counter::ItemsCount};
use fastrand::Rng;

/// Features of the table.
const FEATURES: usize = 16;
/// Rows of the table.
const ROWS: usize = 100_000;

fn main() {
    divan::main();
}

fn columns(rows: usize) -> Vec<Vec<f64>> {
    let mut rng = Rng::with_seed(1);
    (0..FEATURES).map(|_| (0..rows).map(|_| rng.f64()).collect()).collect()
}

fn input() -> KernelInput {
    let columns = columns(ROWS);
    let derivatives: Vec<f64> = columns[0].iter().zip(&columns[1]).map(|(a, b)| a - b).collect();
    KernelInput::new(&columns, &derivatives)
}

/// Every `step`-th row: the rows of a node of that depth.
fn node(step: usize) -> Vec<u32> {
    (0..ROWS as u32).step_by(step).collect()
}

#[divan::bench]
fn bin_table(bencher: Bencher) {
    let columns = columns(ROWS);
    let derivatives = vec![0.5; ROWS];
    bencher.counter(ItemsCount::new(ROWS * FEATURES)).bench(|| KernelInput::new(&columns, &derivatives));
}

#[divan::bench(args = [1, 8, 64])]
fn build_histograms(bencher: Bencher, step: usize) {
    let (input, rows) = (input(), node(step));
    bencher.counter(ItemsCount::new(rows.len() * FEATURES)).bench(|| input.histograms(&rows));
}

#[divan::bench(args = [1, 64])]
fn find_split(bencher: Bencher, step: usize) {
    let input = input();
    let histograms: Histograms = input.histograms(&node(step));
    bencher.counter(ItemsCount::new(FEATURES)).bench(|| input.best_gain(&histograms));
}

fn trees(leaves: usize) -> Trees {
    let columns = columns(20_000);
    let y: Vec<f64> = columns[0].iter().zip(&columns[1]).map(|(a, b)| (a * 9.0).sin() + a * b).collect();
    let parameters = BoostingParameters { max_leaves: Some(leaves), ..BoostingParameters::default() };
    fit(&columns, &y, None, &parameters).expect("a model").trees
}

#[divan::bench(args = [8, 31])]
fn traverse_rows(bencher: Bencher, leaves: usize) {
    let (trees, columns) = (trees(leaves), columns(4096));
    let sum = EnsembleOutput { base: 0.0, factor: 1.0 };
    bencher.counter(ItemsCount::new(4096_usize)).bench(|| trees.predict(&columns, 4096, sum));
}

#[divan::bench(args = [8, 31])]
fn traverse_one_row(bencher: Bencher, leaves: usize) {
    let (trees, row) = (trees(leaves), [0.5; FEATURES]);
    let sum = EnsembleOutput { base: 0.0, factor: 1.0 };
    bencher.counter(ItemsCount::new(1_usize)).bench(|| trees.predict_row(&row, sum));
}
