//! Whether intervals hold what they promise: on test rows, all of them and by the height of the prediction.

use model::median;

use crate::{fitting::experiment::Findings, inputs::featured_table::Dataset};

/// Parts of the test rows, from the lowest predictions to the highest.
const PARTS: usize = 10;

/// Intervals over some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coverage {
    pub(crate) rows: usize,
    /// The lowest and the highest prediction.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The share of targets within.
    pub(crate) share: f64,
    /// The median width.
    pub(crate) width: f64,
}

/// Over all test rows; `None` without intervals.
pub(crate) fn overall(dataset: &Dataset, findings: &Findings) -> Option<Coverage> {
    let rows: Vec<usize> = (0..dataset.test.y.len()).collect();
    over(dataset, findings, &rows)
}

/// Over each tenth of the test rows by their predictions; fewer parts of few rows.
pub(crate) fn by_height(dataset: &Dataset, findings: &Findings) -> Vec<Coverage> {
    let mut order: Vec<usize> = (0..dataset.test.y.len()).collect();
    order.sort_by(|a, b| findings.predictions[*a].total_cmp(&findings.predictions[*b]));
    let parts = PARTS.min(order.len() / 5).max(1);
    let part = |index: usize| &order[order.len() * index / parts..order.len() * (index + 1) / parts];
    (0..parts).filter_map(|index| over(dataset, findings, part(index))).collect()
}

fn over(dataset: &Dataset, findings: &Findings, rows: &[usize]) -> Option<Coverage> {
    let bounds = findings.bounds.as_ref()?;
    let within =
        rows.iter().filter(|row| bounds[**row].0 <= dataset.test.y[**row] && dataset.test.y[**row] <= bounds[**row].1);
    let predicted = |row: &usize| findings.predictions[*row];
    let mut widths: Vec<f64> = rows.iter().map(|row| bounds[*row].1 - bounds[*row].0).collect();
    Some(Coverage {
        rows: rows.len(),
        from: rows.first().map_or(f64::NAN, predicted),
        to: rows.last().map_or(f64::NAN, predicted),
        share: within.count() as f64 / rows.len() as f64,
        width: median(&mut widths),
    })
}
