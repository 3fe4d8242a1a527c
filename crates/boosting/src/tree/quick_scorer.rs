//! Small trees asked all together: which way a row goes at each of their splits, and which leaves it reaches.
//!
//! Thresholds stand feature by feature in ascending order, and only those that the row exceeds are looked at (Lucchese et al., "QuickScorer: a
//! fast algorithm to rank documents with additive ensembles of regression trees", 2015). The leaf is then looked up by the answers.

use rayon::prelude::*;

use crate::tree::{ensemble::Trees, traversal::Sum};

/// Larger trees have too many outcomes: 2 to the power of their splits.
const SPLITS: usize = 7;
/// Rows that are asked together.
const BLOCK: usize = 64;

/// Small trees, ready to be asked row by row.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// Per tree its outcome where a row goes left at every split: a bit a split.
    leftmost: Vec<u8>,
    /// The splits at thresholds: feature by feature, in ascending order.
    thresholds: Vec<Threshold>,
    /// Per feature where its thresholds end.
    thresholds_end: Vec<usize>,
    /// Splits by sets of categories.
    sets: Vec<SetSplit>,
    /// A leaf's value an outcome, tree after tree.
    leaves: Vec<f64>,
    /// Per tree where its leaves begin.
    leaves_start: Vec<usize>,
    /// Per feature its different thresholds, ascending.
    cuts: Vec<Vec<f64>>,
    /// The splits at thresholds once more, tree by tree, for many rows together.
    splits: Vec<Split>,
    /// Per tree where its splits end.
    splits_end: Vec<usize>,
}

/// A split as many rows are asked for it: rows go right that exceed more cuts of the feature than this.
#[derive(Clone, Copy, Debug)]
struct Split {
    feature: u32,
    cut: i16,
    others: u16,
}

/// A split at a threshold.
#[derive(Clone, Copy, Debug)]
struct Threshold {
    feature: u32,
    tree: u32,
    /// Rows go right whose feature is greater.
    at: f64,
    /// The outcome's bits but for that of this split.
    others: u8,
    missing_left: bool,
}

/// A split that asks for a set.
#[derive(Clone, Copy, Debug)]
struct SetSplit {
    node: u32,
    tree: u32,
    others: u8,
}

impl Outcomes {
    /// Of all trees, if all are small.
    pub fn of(trees: &Trees) -> Option<Self> {
        let mut made = Self::default();
        for root in &trees.roots {
            made.push(trees, *root, &splits_of(trees, *root)?);
        }
        made.sort();
        Some(made)
    }

    /// Adds a tree with these splits. [`sort`](Self::sort) comes when all are there.
    pub(crate) fn push(&mut self, trees: &Trees, root: u32, splits: &[u32]) {
        let tree = self.leftmost.len() as u32;
        for (bit, index) in splits.iter().enumerate() {
            let node = &trees.nodes[*index as usize];
            let others = !(1 << bit);
            if node.asks_for_set() {
                self.sets.push(SetSplit { node: *index, tree, others });
            } else {
                let (feature, missing_left) = (node.place() as u32 - 1, node.missing_left());
                self.thresholds.push(Threshold { feature, tree, at: node.number, others, missing_left });
            }
        }
        self.leftmost.push(!(u8::MAX << splits.len()));
        self.leaves_start.push(self.leaves.len());
        for outcome in 0..1_usize << splits.len() {
            let mut at = root;
            while let Some(bit) = splits.iter().position(|split| *split == at) {
                at = trees.nodes[at as usize].left + u32::from(outcome >> bit & 1 == 0);
            }
            self.leaves.push(trees.nodes[at as usize].number);
        }
    }

    pub(crate) fn sort(&mut self) {
        self.thresholds.sort_by(|a, b| a.feature.cmp(&b.feature).then(a.at.total_cmp(&b.at)));
        let features = self.thresholds.last().map_or(0, |threshold| threshold.feature + 1);
        let end = |feature| self.thresholds.partition_point(|threshold| threshold.feature <= feature);
        self.thresholds_end = (0..features).map(end).collect();
        self.sort_for_blocks();
    }

    fn sort_for_blocks(&mut self) {
        self.cuts = vec![Vec::new(); self.thresholds_end.len()];
        for threshold in &self.thresholds {
            let cuts = &mut self.cuts[threshold.feature as usize];
            if cuts.last() != Some(&threshold.at) {
                cuts.push(threshold.at);
            }
        }
        let split = |threshold: &Threshold| {
            let cut = self.cuts[threshold.feature as usize].partition_point(|cut| *cut < threshold.at);
            (threshold.tree, Split { feature: threshold.feature, cut: cut as i16, others: u16::from(threshold.others) })
        };
        let mut splits: Vec<(u32, Split)> = self.thresholds.iter().map(split).collect();
        splits.sort_by_key(|(tree, _)| *tree);
        let end = |tree| splits.partition_point(|(known, _)| *known <= tree);
        self.splits_end = (0..self.leftmost.len() as u32).map(end).collect();
        self.splits = splits.into_iter().map(|(_, split)| split).collect();
    }

    /// `(base + Σ output) · factor` for every row of `columns`: the same bits as [`Trees::predict`].
    ///
    /// # Panics
    /// If `trees` are not those that it was made of: that is a mistake in the caller.
    pub fn predict(&self, trees: &Trees, columns: &[Vec<f64>], rows: usize, sum: Sum) -> Vec<f64> {
        let simple = self.sets.is_empty() && self.cuts.iter().all(|cuts| cuts.len() < i16::MAX as usize);
        let known = simple && !columns.iter().flatten().any(|value| value.is_nan());
        if !known {
            return trees.predict(columns, rows, sum);
        }
        let mut totals = vec![sum.base; rows];
        totals.par_chunks_mut(BLOCK).enumerate().for_each(|(block, totals)| {
            let rows = block * BLOCK..block * BLOCK + totals.len();
            // how many cuts each row exceeds: behind that a split is one comparison of small numbers, many at a time
            let mut exceeded = vec![[0_i16; BLOCK]; self.cuts.len()];
            for (exceeded, (cuts, column)) in exceeded.iter_mut().zip(self.cuts.iter().zip(columns)) {
                for (exceeded, x) in exceeded.iter_mut().zip(&column[rows.clone()]) {
                    *exceeded = cuts.partition_point(|cut| cut < x) as i16;
                }
            }
            let mut start = 0;
            for (tree, end) in self.splits_end.iter().enumerate() {
                let mut outcomes = [u16::from(self.leftmost[tree]); BLOCK];
                for split in &self.splits[start..*end] {
                    for (outcome, exceeded) in outcomes.iter_mut().zip(&exceeded[split.feature as usize]) {
                        // all ones where the row goes right, and no branch, so that the compiler takes eight rows at a time
                        let right = (split.cut - *exceeded) >> 15;
                        *outcome &= split.others | !right.cast_unsigned();
                    }
                }
                let leaves = &self.leaves[self.leaves_start[tree]..];
                for (total, outcome) in totals.iter_mut().zip(&outcomes) {
                    *total += leaves[usize::from(*outcome)];
                }
                start = *end;
            }
            totals.iter_mut().for_each(|total| *total *= sum.factor);
        });
        totals
    }

    /// The outcome of every tree.
    pub(crate) fn of_row(&self, trees: &Trees, row: &[f64]) -> Vec<u8> {
        let mut outcomes = self.leftmost.clone();
        let mut start = 0;
        for (x, end) in row.iter().zip(&self.thresholds_end) {
            let thresholds = &self.thresholds[start..*end];
            if x.is_nan() {
                for threshold in thresholds.iter().filter(|threshold| !threshold.missing_left) {
                    outcomes[threshold.tree as usize] &= threshold.others;
                }
            } else {
                for threshold in thresholds.iter().take_while(|threshold| *x > threshold.at) {
                    outcomes[threshold.tree as usize] &= threshold.others;
                }
            }
            start = *end;
        }
        for split in &self.sets {
            let node = &trees.nodes[split.node as usize];
            if trees.next(split.node as usize, row[node.place() - 1]) != node.left as usize {
                outcomes[split.tree as usize] &= split.others;
            }
        }
        outcomes
    }

    /// `(base + Σ output) · factor` for these outcomes.
    pub(crate) fn sum(&self, outcomes: &[u8], sum: Sum) -> f64 {
        let leaves =
            self.leaves_start.iter().zip(outcomes).map(|(start, outcome)| self.leaves[start + usize::from(*outcome)]);
        leaves.fold(sum.base, |total, output| total + output) * sum.factor
    }

    /// `(base + Σ output) · factor` for a row: the same bits as [`Trees::predict_row`].
    ///
    /// # Panics
    /// If `trees` are not those that it was made of: that is a mistake in the caller.
    pub fn predict_row(&self, trees: &Trees, row: &[f64], sum: Sum) -> f64 {
        self.sum(&self.of_row(trees, row), sum)
    }
}

/// The splits of a tree, if they are few.
pub(crate) fn splits_of(trees: &Trees, root: u32) -> Option<Vec<u32>> {
    let (mut splits, mut ways) = (Vec::new(), vec![root]);
    while let Some(index) = ways.pop() {
        let node = &trees.nodes[index as usize];
        if !node.is_leaf() {
            splits.push(index);
            ways.extend([node.left, node.left + 1]);
        }
        if splits.len() > SPLITS {
            return None;
        }
    }
    Some(splits)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::tree::ensemble::Rule;

    #[test]
    fn rows_reach_the_leaves_that_a_walk_leads_to() {
        let mut rng = Rng::with_seed(9);
        let mut trees = Trees::default();
        for _ in 0..60 {
            let mut leaves = vec![trees.begin_tree(rng.f64(), 1.0)];
            for _ in 0..rng.usize(0..=SPLITS) {
                let leaf = leaves.swap_remove(rng.usize(..leaves.len()));
                let rule = if rng.bool() {
                    Rule::AtMost(f64::from(rng.u32(0..8)))
                } else {
                    Rule::OneOf((0..8).filter(|_| rng.bool()).chain([9]).collect())
                };
                let left = trees.split(leaf, rng.usize(0..4), &rule, rng.bool(), [(rng.f64(), 1.0), (rng.f64(), 1.0)]);
                leaves.extend([left, left + 1]);
            }
        }
        let outcomes = Outcomes::of(&trees).unwrap();
        let sum = Sum { base: 0.3, factor: 0.7 };
        for _ in 0..500 {
            let cell = |rng: &mut Rng| if rng.u32(0..8) == 0 { f64::NAN } else { f64::from(rng.u32(0..18)) / 2.0 };
            let row: Vec<f64> = (0..4).map(|_| cell(&mut rng)).collect();
            assert_eq!(outcomes.predict_row(&trees, &row, sum).to_bits(), trees.predict_row(&row, sum).to_bits());
        }
        // many rows together, of trees that ask for no sets
        let mut trees = Trees::default();
        for _ in 0..40 {
            let mut leaves = vec![trees.begin_tree(rng.f64(), 1.0)];
            for _ in 0..rng.usize(0..=SPLITS) {
                let leaf = leaves.swap_remove(rng.usize(..leaves.len()));
                let rule = Rule::AtMost(f64::from(rng.u32(0..20)));
                let left = trees.split(leaf, rng.usize(0..4), &rule, rng.bool(), [(rng.f64(), 1.0), (rng.f64(), 1.0)]);
                leaves.extend([left, left + 1]);
            }
        }
        let outcomes = Outcomes::of(&trees).unwrap();
        let mut columns: Vec<Vec<f64>> =
            (0..4).map(|_| (0..150).map(|_| f64::from(rng.u32(0..45)) / 2.0).collect()).collect();
        for _ in 0..2 {
            let found = outcomes.predict(&trees, &columns, 150, sum);
            assert!(found.iter().zip(trees.predict(&columns, 150, sum)).all(|(a, b)| a.to_bits() == b.to_bits()));
            columns[1][70] = f64::NAN;
        }
    }
}
