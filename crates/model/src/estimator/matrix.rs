//! A dense matrix of features, stored by column.

use rayon::prelude::*;

/// Number of rows per parallel task.
const ROWS_PER_TASK: usize = 4096;

/// A dense matrix, column-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: Vec<Vec<f64>>,
    /// Weight of each row in a fit; `None` for equal weights.
    weights: Option<Vec<f64>>,
}

impl Matrix {
    /// A matrix of `columns`, all of the same length, without weights.
    ///
    /// # Panics
    /// If the lengths differ (a mistake of the caller).
    pub fn new(columns: Vec<Vec<f64>>) -> Self {
        let rows = columns.first().map_or(0, Vec::len);
        assert!(columns.iter().all(|column| column.len() == rows), "columns must be of one length");
        Self { rows, columns, weights: None }
    }

    /// The matrix with one weight per row, for a fit.
    ///
    /// # Panics
    /// If the number of weights is not the number of rows (a mistake of the caller).
    #[must_use]
    pub fn with_weights(self, weights: Option<Vec<f64>>) -> Self {
        assert!(weights.as_ref().is_none_or(|weights| weights.len() == self.rows), "one weight per row");
        Self { weights, ..self }
    }

    /// The weights of the rows; `None` for equal weights.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The columns.
    pub fn columns(&self) -> &[Vec<f64>] {
        &self.columns
    }

    /// The rows with these indices, in this order.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| rows.iter().map(|row| column[*row]).collect());
        let weights = self.weights.as_ref().map(|weights| rows.iter().map(|row| weights[*row]).collect());
        Self { rows: rows.len(), columns: columns.collect(), weights }
    }

    /// The matrix with row `order[i]` in place of row `i`, in these columns only.
    #[must_use]
    pub(crate) fn with_rows_shuffled(&self, columns: &[usize], order: &[usize]) -> Self {
        let mut shuffled = self.clone();
        for column in columns {
            shuffled.columns[*column] = order.iter().map(|row| self.columns[*column][*row]).collect();
        }
        shuffled
    }

    /// `predict` applied to each row, in parallel.
    pub(crate) fn map_rows(&self, predict: impl Fn(&[f64]) -> f64 + Sync) -> Vec<f64> {
        let mut results = vec![0.0; self.rows];
        results.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, chunk)| {
            let mut row = vec![0.0; self.width()];
            for (offset, result) in chunk.iter_mut().enumerate() {
                self.copy_row(task * ROWS_PER_TASK + offset, &mut row);
                *result = predict(&row);
            }
        });
        results
    }

    /// True if some cell is missing (NaN).
    pub fn has_missing(&self) -> bool {
        self.columns.iter().any(|column| column.iter().any(|value| value.is_nan()))
    }

    /// Copies row `index` to `row`.
    pub(crate) fn copy_row(&self, index: usize, row: &mut [f64]) {
        for (cell, column) in row.iter_mut().zip(&self.columns) {
            *cell = column[index];
        }
    }
}
