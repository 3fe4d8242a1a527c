//! A grown tree with the rows of its leaves.

use crate::{binning::BinnedTable, grower::partition::BinSplit, tree::ensemble::Trees};
use std::ops::Range;

/// A leaf of a grown tree.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) node: usize,
    /// Range of its rows among the rows of the tree.
    pub(crate) rows: Range<usize>,
}

/// A grown tree. Node 0 is its root.
pub(crate) struct GrownTree {
    pub(crate) tree: Trees,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) splits: Vec<Option<BinSplit>>,
}

impl GrownTree {
    /// The leaf of a row of the table.
    pub(crate) fn leaf_of(&self, data: &BinnedTable, row: usize) -> usize {
        let mut node = 0;
        while let Some(split) = &self.splits[node] {
            let bin = data.columns[split.feature as usize][row];
            node = split.left as usize + usize::from(!split.goes_left(bin));
        }
        node
    }

    /// Clamps leaf values so that monotone constraints hold. Later splits are below earlier ones, so values that respect a bound keep their
    /// order.
    pub(crate) fn enforce_monotonicity(&self, monotone: &[i8], values: &mut [f64]) {
        for split in self.splits.iter().flatten().rev() {
            let direction = monotone.get(split.feature as usize).copied().unwrap_or(0);
            if direction == 0 {
                continue;
            }
            let (left, right) = (self.leaves_below(split.left as usize), self.leaves_below(split.left as usize + 1));
            let (low, high) = if direction > 0 { (left, right) } else { (right, left) };
            let largest = low.iter().map(|leaf| values[*leaf]).fold(f64::NEG_INFINITY, f64::max);
            let smallest = high.iter().map(|leaf| values[*leaf]).fold(f64::INFINITY, f64::min);
            if largest > smallest {
                let bound = f64::midpoint(largest, smallest);
                low.into_iter().for_each(|leaf| values[leaf] = values[leaf].min(bound));
                high.into_iter().for_each(|leaf| values[leaf] = values[leaf].max(bound));
            }
        }
    }

    /// Indices of the leaves below a node.
    pub(crate) fn leaves_below(&self, node: usize) -> Vec<usize> {
        let (mut pending, mut below) = (vec![node], Vec::new());
        while let Some(node) = pending.pop() {
            match &self.splits[node] {
                Some(split) => pending.extend([split.left as usize, split.left as usize + 1]),
                None => below.extend(self.leaves.binary_search_by_key(&node, |leaf| leaf.node)),
            }
        }
        below
    }
}
