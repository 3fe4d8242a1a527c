//! Walks rows down trees, several at a time.

use rayon::prelude::*;

use crate::tree::ensemble::{Node, Trees};

/// Walks that go on side by side: the processor waits for none of them alone.
const LANES: usize = 8;
/// Rows whose features are held in the first cache while all trees pass over them.
const BLOCK: usize = 64;
/// Rows that one task predicts.
const ROWS_PER_TASK: usize = 4096;

/// How the outputs of trees become one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sum {
    /// What they are added to.
    pub base: f64,
    /// What the sum is multiplied with.
    pub factor: f64,
}

impl Trees {
    /// `(base + Σ output) · factor` for a row of features. The same bits as [`predict`](Self::predict) for the same row.
    ///
    /// # Panics
    /// If the row is shorter than what the trees were checked for.
    pub fn predict_row(&self, row: &[f64], sum: Sum) -> f64 {
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
                    walk::<true>(&self.nodes, [&cells; LANES], &mut at);
                } else {
                    walk::<false>(&self.nodes, [&cells; LANES], &mut at);
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

    /// What each tree gives for `row`, in order.
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
            at = self.next(at, row[node.place() - 1]);
        }
    }

    /// `(base + Σ output) · factor` for every row of `columns`.
    pub fn predict(&self, columns: &[Vec<f64>], rows: usize, sum: Sum) -> Vec<f64> {
        let mut predictions = vec![sum.base; rows];
        predictions.par_chunks_mut(ROWS_PER_TASK).enumerate().for_each(|(task, chunk)| {
            let mut block = Block::new(columns.len());
            for (index, totals) in chunk.chunks_mut(BLOCK).enumerate() {
                block.fill(columns, task * ROWS_PER_TASK + index * BLOCK, totals.len());
                self.add_block(&block, totals);
                totals.iter_mut().for_each(|total| *total *= sum.factor);
            }
        });
        predictions
    }

    /// Adds the outputs for the rows of a block, tree by tree.
    fn add_block(&self, block: &Block, totals: &mut [f64]) {
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
                    walk::<true>(&self.nodes, rows, &mut at);
                } else {
                    walk::<false>(&self.nodes, rows, &mut at);
                }
                for (total, leaf) in totals.iter_mut().zip(at) {
                    *total += self.nodes[leaf as usize].number;
                }
            }
        }
    }
}

/// Takes every lane to its leaf. Cell 0 of a row is for leaves: it goes left whatever their value.
#[inline]
fn walk<const MISSING: bool>(nodes: &[Node], rows: [&[f64]; LANES], at: &mut [u32; LANES]) {
    loop {
        let mut moved = 0;
        for lane in 0..LANES {
            let node = &nodes[at[lane] as usize];
            let x = rows[lane][node.place()];
            let right = x > node.number || (MISSING && x.is_nan() && !node.missing_left());
            let next = node.left + u32::from(right);
            moved |= next ^ at[lane];
            at[lane] = next;
        }
        if moved == 0 {
            return;
        }
    }
}

/// Rows side by side, each behind the cell that leaves look at.
struct Block {
    width: usize,
    cells: Vec<f64>,
    missing: bool,
}

impl Block {
    fn new(features: usize) -> Self {
        let width = features + 1;
        Self { width, cells: vec![f64::NEG_INFINITY; width * BLOCK], missing: false }
    }

    /// Takes `rows` rows from `first` on. Rows behind them stay as they are: what they predict is not read.
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
