//! Fast prediction of small trees: the outcome of all splits, then the leaf of each outcome.
//!
//! Thresholds are sorted by feature, and only those below the row's value are visited (Lucchese et al., "QuickScorer: a fast algorithm to
//! rank documents with additive ensembles of regression trees", 2015). The outcomes of a tree's splits are the index of its leaf.

use rayon::prelude::*;

use crate::tree::{ensemble::Trees, traversal::EnsembleOutput};

/// Largest number of splits of a tree; a tree of n splits has 2^n outcomes.
const MAX_SPLITS: usize = 7;
/// Number of rows that are predicted together.
const BLOCK_ROWS: usize = 64;

/// An ensemble of small trees, prepared for fast prediction.
#[derive(Clone, Debug, Default)]
pub struct QuickScorer {
    /// Outcome of each tree if a row goes left at every split, one bit per split.
    leftmost: Vec<u8>,
    /// Splits at thresholds, sorted by feature and threshold.
    thresholds: Vec<Threshold>,
    /// End of each feature's thresholds.
    thresholds_end: Vec<usize>,
    /// Splits by category sets.
    sets: Vec<SetSplit>,
    /// Leaf value of each outcome, one tree after the other.
    leaves: Vec<f64>,
    /// Start of each tree's leaf values.
    leaves_start: Vec<usize>,
    /// Distinct thresholds of each feature, ascending.
    cuts: Vec<Vec<f64>>,
    /// The splits at thresholds by tree, for many rows together.
    splits: Vec<CutSplit>,
    /// End of each tree's splits.
    splits_end: Vec<usize>,
}

/// A split for many rows together: a row goes right if it exceeds more cuts of the feature than `cut`.
#[derive(Clone, Copy, Debug)]
struct CutSplit {
    feature: u32,
    cut: i16,
    complement: u16,
}

/// A split at a threshold.
#[derive(Clone, Copy, Debug)]
struct Threshold {
    feature: u32,
    tree: u32,
    /// A row goes right if its feature is greater.
    at: f64,
    /// All bits of the outcome except that of this split.
    complement: u8,
    missing_left: bool,
}

/// A split by a category set.
#[derive(Clone, Copy, Debug)]
struct SetSplit {
    node: u32,
    tree: u32,
    complement: u8,
}

impl QuickScorer {
    /// The scorer of `trees`; `None` if a tree has more than seven splits.
    pub fn from_trees(trees: &Trees) -> Option<Self> {
        let mut scorer = Self::default();
        for root in &trees.roots {
            scorer.push(trees, *root, &small_tree_splits(trees, *root)?);
        }
        scorer.sort();
        Some(scorer)
    }

    /// Adds a tree with these splits. Call [`sort`](Self::sort) after the last tree.
    pub(crate) fn push(&mut self, trees: &Trees, root: u32, splits: &[u32]) {
        let tree = self.leftmost.len() as u32;
        for (bit, index) in splits.iter().enumerate() {
            let node = &trees.nodes[*index as usize];
            let complement = !(1 << bit);
            if node.tests_set() {
                self.sets.push(SetSplit { node: *index, tree, complement });
            } else {
                let (feature, missing_left) = (node.column() as u32 - 1, node.missing_left());
                self.thresholds.push(Threshold { feature, tree, at: node.number, complement, missing_left });
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
            (
                threshold.tree,
                CutSplit { feature: threshold.feature, cut: cut as i16, complement: u16::from(threshold.complement) },
            )
        };
        let mut splits: Vec<(u32, CutSplit)> = self.thresholds.iter().map(split).collect();
        splits.sort_by_key(|(tree, _)| *tree);
        let end = |tree| splits.partition_point(|(known, _)| *known <= tree);
        self.splits_end = (0..self.leftmost.len() as u32).map(end).collect();
        self.splits = splits.into_iter().map(|(_, split)| split).collect();
    }

    /// `(base + Σ output) · factor` for each row of `columns`: the same bits as [`Trees::predict`].
    ///
    /// # Panics
    /// If `trees` is not the ensemble that the scorer was built from (a mistake of the caller).
    pub fn predict(&self, trees: &Trees, columns: &[Vec<f64>], rows: usize, sum: EnsembleOutput) -> Vec<f64> {
        let simple = self.sets.is_empty() && self.cuts.iter().all(|cuts| cuts.len() < i16::MAX as usize);
        let known = simple && !columns.iter().flatten().any(|value| value.is_nan());
        if !known {
            return trees.predict(columns, rows, sum);
        }
        let mut totals = vec![sum.base; rows];
        totals.par_chunks_mut(BLOCK_ROWS).enumerate().for_each(|(block, totals)| {
            let rows = block * BLOCK_ROWS..block * BLOCK_ROWS + totals.len();
            // count the cuts that each row exceeds: a split is then one comparison of small integers, many at a time
            let mut exceeded = vec![[0_i16; BLOCK_ROWS]; self.cuts.len()];
            for (exceeded, (cuts, column)) in exceeded.iter_mut().zip(self.cuts.iter().zip(columns)) {
                for (exceeded, x) in exceeded.iter_mut().zip(&column[rows.clone()]) {
                    *exceeded = cuts.partition_point(|cut| cut < x) as i16;
                }
            }
            let mut start = 0;
            for (tree, end) in self.splits_end.iter().enumerate() {
                let mut outcomes = [u16::from(self.leftmost[tree]); BLOCK_ROWS];
                for split in &self.splits[start..*end] {
                    for (outcome, exceeded) in outcomes.iter_mut().zip(&exceeded[split.feature as usize]) {
                        // all bits are 1 if the row goes right; without a branch, the compiler vectorises over eight rows
                        let right = (split.cut - *exceeded) >> 15;
                        *outcome &= split.complement | !right.cast_unsigned();
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
    pub(crate) fn outcomes(&self, trees: &Trees, row: &[f64]) -> Vec<u8> {
        let mut outcomes = self.leftmost.clone();
        let mut start = 0;
        for (x, end) in row.iter().zip(&self.thresholds_end) {
            let thresholds = &self.thresholds[start..*end];
            if x.is_nan() {
                for threshold in thresholds.iter().filter(|threshold| !threshold.missing_left) {
                    outcomes[threshold.tree as usize] &= threshold.complement;
                }
            } else {
                for threshold in thresholds.iter().take_while(|threshold| *x > threshold.at) {
                    outcomes[threshold.tree as usize] &= threshold.complement;
                }
            }
            start = *end;
        }
        for split in &self.sets {
            let node = &trees.nodes[split.node as usize];
            if trees.next(split.node as usize, row[node.column() - 1]) != node.left as usize {
                outcomes[split.tree as usize] &= split.complement;
            }
        }
        outcomes
    }

    /// `(base + Σ output) · factor` for these outcomes.
    pub(crate) fn sum(&self, outcomes: &[u8], sum: EnsembleOutput) -> f64 {
        let leaves =
            self.leaves_start.iter().zip(outcomes).map(|(start, outcome)| self.leaves[start + usize::from(*outcome)]);
        leaves.fold(sum.base, |total, output| total + output) * sum.factor
    }

    /// `(base + Σ output) · factor` for a row: the same bits as [`Trees::predict_row`].
    ///
    /// # Panics
    /// If `trees` is not the ensemble that the scorer was built from (a mistake of the caller).
    pub fn predict_row(&self, trees: &Trees, row: &[f64], sum: EnsembleOutput) -> f64 {
        self.sum(&self.outcomes(trees, row), sum)
    }
}

/// The splits of a tree; `None` if there are more than seven.
pub(crate) fn small_tree_splits(trees: &Trees, root: u32) -> Option<Vec<u32>> {
    let (mut splits, mut pending) = (Vec::new(), vec![root]);
    while let Some(index) = pending.pop() {
        let node = &trees.nodes[index as usize];
        if !node.is_leaf() {
            splits.push(index);
            pending.extend([node.left, node.left + 1]);
        }
        if splits.len() > MAX_SPLITS {
            return None;
        }
    }
    Some(splits)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::tree::ensemble::SplitCondition;

    #[test]
    fn the_result_equals_that_of_a_traversal() {
        let mut rng = Rng::with_seed(9);
        let mut trees = Trees::default();
        for _ in 0..60 {
            let mut leaves = vec![trees.begin_tree(rng.f64(), 1.0)];
            for _ in 0..rng.usize(0..=MAX_SPLITS) {
                let leaf = leaves.swap_remove(rng.usize(..leaves.len()));
                let rule = if rng.bool() {
                    SplitCondition::AtMost(f64::from(rng.u32(0..8)))
                } else {
                    SplitCondition::OneOf((0..8).filter(|_| rng.bool()).chain([9]).collect())
                };
                let left = trees.split(leaf, rng.usize(0..4), &rule, rng.bool(), [(rng.f64(), 1.0), (rng.f64(), 1.0)]);
                leaves.extend([left, left + 1]);
            }
        }
        let scorer = QuickScorer::from_trees(&trees).unwrap();
        let sum = EnsembleOutput { base: 0.3, factor: 0.7 };
        for _ in 0..500 {
            let cell = |rng: &mut Rng| if rng.u32(0..8) == 0 { f64::NAN } else { f64::from(rng.u32(0..18)) / 2.0 };
            let row: Vec<f64> = (0..4).map(|_| cell(&mut rng)).collect();
            assert_eq!(scorer.predict_row(&trees, &row, sum).to_bits(), trees.predict_row(&row, sum).to_bits());
        }
        // many rows together, for trees without category sets
        let mut trees = Trees::default();
        for _ in 0..40 {
            let mut leaves = vec![trees.begin_tree(rng.f64(), 1.0)];
            for _ in 0..rng.usize(0..=MAX_SPLITS) {
                let leaf = leaves.swap_remove(rng.usize(..leaves.len()));
                let rule = SplitCondition::AtMost(f64::from(rng.u32(0..20)));
                let left = trees.split(leaf, rng.usize(0..4), &rule, rng.bool(), [(rng.f64(), 1.0), (rng.f64(), 1.0)]);
                leaves.extend([left, left + 1]);
            }
        }
        let scorer = QuickScorer::from_trees(&trees).unwrap();
        let mut columns: Vec<Vec<f64>> =
            (0..4).map(|_| (0..150).map(|_| f64::from(rng.u32(0..45)) / 2.0).collect()).collect();
        for _ in 0..2 {
            let predicted = scorer.predict(&trees, &columns, 150, sum);
            assert!(predicted.iter().zip(trees.predict(&columns, 150, sum)).all(|(a, b)| a.to_bits() == b.to_bits()));
            columns[1][70] = f64::NAN;
        }
    }
}
