//! The coverage of prediction intervals on test rows: of all of them, and by the size of the prediction.

use model::median;

use crate::{fitting::training_result::TrainingResult, inputs::featured_table::Dataset};

/// Parts of the test rows, ordered by prediction.
const PARTS: usize = 10;
/// Test rows of a part at least.
const MIN_ROWS_OF_PART: usize = 5;

/// The coverage of some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Coverage {
    pub(crate) rows: usize,
    /// The lowest prediction, in the target's unit.
    pub(crate) from: f64,
    /// The highest prediction.
    pub(crate) to: f64,
    /// The share of targets inside their interval.
    pub(crate) share: f64,
    /// The median width of the intervals, in the target's unit.
    pub(crate) width: f64,
}

/// The coverage of all test rows; `None` without intervals.
pub(crate) fn overall(dataset: &Dataset, result: &TrainingResult) -> Option<Coverage> {
    let rows: Vec<usize> = (0..dataset.test.y.len()).collect();
    coverage_of(dataset, result, &rows)
}

/// The coverage of each tenth of the test rows, ordered by prediction; of fewer parts where there are few rows.
pub(crate) fn by_prediction(dataset: &Dataset, result: &TrainingResult) -> Vec<Coverage> {
    let mut order: Vec<usize> = (0..dataset.test.y.len()).collect();
    order.sort_by(|a, b| result.test_predictions[*a].total_cmp(&result.test_predictions[*b]));
    let parts = PARTS.min(order.len() / MIN_ROWS_OF_PART).max(1);
    let part = |index: usize| &order[order.len() * index / parts..order.len() * (index + 1) / parts];
    (0..parts).filter_map(|index| coverage_of(dataset, result, part(index))).collect()
}

fn coverage_of(dataset: &Dataset, result: &TrainingResult, rows: &[usize]) -> Option<Coverage> {
    let bounds = result.interval_bounds.as_ref()?;
    let inside =
        rows.iter().filter(|row| bounds[**row].0 <= dataset.test.y[**row] && dataset.test.y[**row] <= bounds[**row].1);
    let prediction = |row: &usize| result.test_predictions[*row];
    let mut widths: Vec<f64> = rows.iter().map(|row| bounds[*row].1 - bounds[*row].0).collect();
    Some(Coverage {
        rows: rows.len(),
        from: rows.first().map_or(f64::NAN, prediction),
        to: rows.last().map_or(f64::NAN, prediction),
        share: inside.count() as f64 / rows.len() as f64,
        width: median(&mut widths),
    })
}
