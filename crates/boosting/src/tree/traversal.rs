//! Traversal of trees for rows, several at a time.

use rayon::prelude::*;

use crate::tree::ensemble::{Node, Trees};

/// Number of traversals in lock-step; their memory accesses overlap.
const LANES: usize = 8;
/// Number of rows whose features stay in the first-level cache while all trees are evaluated.
const BLOCK_ROWS: usize = 64;
/// Number of rows per parallel task.
const ROWS_PER_TASK: usize = 4096;

/// Conversion of the outputs of trees to one number: `(base + Σ output) · factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnsembleOutput {
    /// Added to the sum of the outputs.
    pub base: f64,
    /// Factor of the sum.
    pub factor: f64,
}

impl Trees {
    /// `(base + Σ output) · factor` for a row of features. The same bits as [`predict`](Self::predict) for the same row.
    ///
    /// # Panics
    /// If the row has fewer features than the trees were validated for.
    pub fn predict_row(&self, row: &[f64], sum: EnsembleOutput) -> f64 {
        let total = if self.has_sets() {
            self.outputs(row).fold(sum.base, |total, output| total + output)
        } else {
            let mut cells = Vec::with_capacity(row.len() + 1);
            cells.push(f64::NEG_INFINITY);
            cells.extend_from_slice(row);
            let missing = row.iter().any(|value| value.is_nan());
            let mut total = sum.base;
            let mut roots = self.roots.chunks_exact(LANES);
            for roots in &mut roots {
                let mut at: [u32; LANES] = std::array::from_fn(|lane| roots[lane]);
                if missing {
                    traverse::<true>(&self.nodes, [&cells; LANES], &mut at);
                } else {
                    traverse::<false>(&self.nodes, [&cells; LANES], &mut at);
                }
                at.iter().for_each(|leaf| total += self.nodes[*leaf as usize].number);
            }
            for root in roots.remainder() {
                total += self.output(*root, row);
            }
            total
        };
        total * sum.factor
    }

    /// The output of each tree for `row`, in order.
    pub fn outputs<'a>(&'a self, row: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.roots.iter().map(|root| self.output(*root, row))
    }

    fn output(&self, root: u32, row: &[f64]) -> f64 {
        let mut at = root as usize;
        loop {
            let node = &self.nodes[at];
            if node.is_leaf() {
                return node.number;
            }
            at = self.next(at, row[node.column() - 1]);
        }
    }

    /// `(base + Σ output) · factor` for every row of `columns`.
    pub fn predict(&self, columns: &[Vec<f64>], rows: usize, sum: EnsembleOutput) -> Vec<f64> {
        let mut predictions = vec![sum.base; rows];
        predictions.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, chunk)| {
            let mut block = LaneRows::new(columns.len());
            for (index, totals) in chunk.chunks_mut(BLOCK_ROWS).enumerate() {
                block.fill(columns, task * ROWS_PER_TASK + index * BLOCK_ROWS, totals.len());
                self.add_block(&block, totals);
                totals.iter_mut().for_each(|total| *total *= sum.factor);
            }
        });
        predictions
    }

    /// Adds the outputs for the rows of a block, tree by tree.
    fn add_block(&self, block: &LaneRows, totals: &mut [f64]) {
        if self.has_sets() {
            for (index, total) in totals.iter_mut().enumerate() {
                *total = self.outputs(&block.row(index)[1..]).fold(*total, |total, output| total + output);
            }
            return;
        }
        for root in &self.roots {
            for (group, totals) in totals.chunks_mut(LANES).enumerate() {
                let rows: [&[f64]; LANES] = std::array::from_fn(|lane| block.row(group * LANES + lane));
                let mut at = [*root; LANES];
                if block.missing {
                    traverse::<true>(&self.nodes, rows, &mut at);
                } else {
                    traverse::<false>(&self.nodes, rows, &mut at);
                }
                for (total, leaf) in totals.iter_mut().zip(at) {
                    *total += self.nodes[leaf as usize].number;
                }
            }
        }
    }
}

/// Moves each lane to its leaf. Cell 0 of a row is -inf, so leaves always go to their left child: themselves.
#[inline]
fn traverse<const MISSING: bool>(nodes: &[Node], rows: [&[f64]; LANES], at: &mut [u32; LANES]) {
    loop {
        let mut changed = 0;
        for lane in 0..LANES {
            let node = &nodes[at[lane] as usize];
            let x = rows[lane][node.column()];
            let right = x > node.number || (MISSING && x.is_nan() && !node.missing_left());
            let next = node.left + u32::from(right);
            changed |= next ^ at[lane];
            at[lane] = next;
        }
        if changed == 0 {
            return;
        }
    }
}

/// Rows by row, each with the sentinel cell before its features.
struct LaneRows {
    width: usize,
    cells: Vec<f64>,
    missing: bool,
}

impl LaneRows {
    fn new(features: usize) -> Self {
        let width = features + 1;
        Self { width, cells: vec![f64::NEG_INFINITY; width * BLOCK_ROWS], missing: false }
    }

    /// Copies `rows` rows from `first` on. Later rows of the block keep old values, and their predictions are not used.
    fn fill(&mut self, columns: &[Vec<f64>], first: usize, rows: usize) {
        self.missing = false;
        for (place, column) in columns.iter().enumerate() {
            for (row, value) in column[first..first + rows].iter().enumerate() {
                self.cells[row * self.width + place + 1] = *value;
                self.missing |= value.is_nan();
            }
        }
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.cells[index * self.width..(index + 1) * self.width]
    }
}
