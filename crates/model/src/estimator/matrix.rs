//! Features in memory, a column after the other.

use rayon::prelude::*;

/// Rows that one task maps.
const ROWS_PER_TASK: usize = 4096;

/// A dense matrix, column-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: Vec<Vec<f64>>,
    /// How much each row counts in a fit, if not all alike.
    weights: Option<Vec<f64>>,
}

impl Matrix {
    /// A matrix of `columns`, all of one length.
    ///
    /// # Panics
    /// If the lengths differ: that is a mistake in the caller.
    pub fn new(columns: Vec<Vec<f64>>) -> Self {
        let rows = columns.first().map_or(0, Vec::len);
        assert!(columns.iter().all(|column| column.len() == rows), "columns must be of one length");
        Self { rows, columns, weights: None }
    }

    /// The same with a weight a row, which it has in a fit.
    ///
    /// # Panics
    /// If there is not one a row: that is a mistake in the caller.
    #[must_use]
    pub fn weighted(self, weights: Option<Vec<f64>>) -> Self {
        assert!(weights.as_ref().is_none_or(|weights| weights.len() == self.rows), "a weight a row");
        Self { weights, ..self }
    }

    /// The weights of the rows, if they have any.
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

    /// The given rows, in the given order.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| rows.iter().map(|row| column[*row]).collect());
        let weights = self.weights.as_ref().map(|weights| rows.iter().map(|row| weights[*row]).collect());
        Self { rows: rows.len(), columns: columns.collect(), weights }
    }

    /// The same with row `order[i]` in place of row `i` in the given columns.
    #[must_use]
    pub(crate) fn with_rows_shuffled(&self, columns: &[usize], order: &[usize]) -> Self {
        let mut shuffled = self.clone();
        for column in columns {
            shuffled.columns[*column] = order.iter().map(|row| self.columns[*column][*row]).collect();
        }
        shuffled
    }

    /// What `of` makes of every row.
    pub(crate) fn map_rows(&self, of: impl Fn(&[f64]) -> f64 + Sync) -> Vec<f64> {
        let mut made = vec![0.0; self.rows];
        made.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, chunk)| {
            let mut row = vec![0.0; self.width()];
            for (offset, made) in chunk.iter_mut().enumerate() {
                self.copy_row(task * ROWS_PER_TASK + offset, &mut row);
                *made = of(&row);
            }
        });
        made
    }

    /// Whether some cell has no value.
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
