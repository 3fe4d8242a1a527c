//! A grown tree: its leaves, their rows, and the order of their values.

use std::ops::Range;

use crate::{binning::Binned, grower::partition::BinSplit, tree::ensemble::Trees};

/// A leaf of a grown tree.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) node: usize,
    /// Its place among the tree's rows.
    pub(crate) rows: Range<usize>,
}

/// A grown tree. Nodes are counted from its root.
pub(crate) struct Grown {
    pub(crate) tree: Trees,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) splits: Vec<Option<BinSplit>>,
}

impl Grown {
    /// The leaf of a row of the table.
    pub(crate) fn leaf_of(&self, data: &Binned, row: usize) -> usize {
        let mut node = 0;
        while let Some(split) = &self.splits[node] {
            let bin = data.columns[split.feature as usize][row];
            node = split.left as usize + usize::from(!split.goes_left(bin));
        }
        node
    }

    /// Draws the values of leaves together where a split on a feature with a direction has them in the wrong order. Later splits stand
    /// below earlier ones, and what keeps to a border keeps its order.
    pub(crate) fn keep_in_order(&self, monotone: &[i8], values: &mut [f64]) {
        for split in self.splits.iter().flatten().rev() {
            let direction = monotone.get(split.feature as usize).copied().unwrap_or(0);
            if direction == 0 {
                continue;
            }
            let (left, right) = (self.leaves_below(split.left as usize), self.leaves_below(split.left as usize + 1));
            let (low, high) = if direction > 0 { (left, right) } else { (right, left) };
            let most = low.iter().map(|leaf| values[*leaf]).fold(f64::NEG_INFINITY, f64::max);
            let least = high.iter().map(|leaf| values[*leaf]).fold(f64::INFINITY, f64::min);
            if most > least {
                let border = f64::midpoint(most, least);
                low.into_iter().for_each(|leaf| values[leaf] = values[leaf].min(border));
                high.into_iter().for_each(|leaf| values[leaf] = values[leaf].max(border));
            }
        }
    }

    /// The places among the leaves of those below a node.
    pub(crate) fn leaves_below(&self, node: usize) -> Vec<usize> {
        let (mut open, mut below) = (vec![node], Vec::new());
        while let Some(node) = open.pop() {
            match &self.splits[node] {
                Some(split) => open.extend([split.left as usize, split.left as usize + 1]),
                None => below.extend(self.leaves.binary_search_by_key(&node, |leaf| leaf.node)),
            }
        }
        below
    }
}
