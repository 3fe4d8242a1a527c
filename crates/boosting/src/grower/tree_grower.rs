//! Growth of one tree, best leaf first or depth first.

use crate::grower::context::GrowContext;
use crate::grower::grown_tree::{GrownTree, Leaf};
use std::{cmp::Ordering, collections::BinaryHeap, ops::Range};

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    binning::{BinKind, Tile},
    grower::{
        constraints::{LeafBounds, UNBOUNDED},
        histogram::{BinSums, HistogramInput, SparseHistogram, TileHistogram, build, subtract},
        partition::{BinSplit, partition_rows},
        split_finder::{SplitFinder, larger_gain},
        splitter::{FeatureHistogram, SplitCandidate, SplitRule},
    },
    tree::ensemble::{SplitCondition, Trees},
};

/// Nodes with fewer rows are summed feature by feature, without a histogram that is kept.
const SMALL_NODE_ROWS: usize = 256;

/// Smallest amount of work (values to add and bins to search) that is shared by threads.
const PARALLEL_THRESHOLD: usize = 49_152;

/// A leaf with the best split that was found for it.
struct SplittableLeaf<const C: usize> {
    node: usize,
    rows: Range<usize>,
    depth: usize,
    bounds: LeafBounds,
    split: SplitCandidate<C>,
    histogram: Option<NodeHistogram<C>>,
}

/// The histograms of all tiles of a node.
type NodeHistogram<const C: usize> = Vec<TileHistogram<C>>;

impl<const C: usize> PartialEq for SplittableLeaf<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<const C: usize> Eq for SplittableLeaf<C> {}
impl<const C: usize> PartialOrd for SplittableLeaf<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<const C: usize> Ord for SplittableLeaf<C> {
    /// By gain; on a tie, the older leaf is greater.
    fn cmp(&self, other: &Self) -> Ordering {
        self.split.gain.total_cmp(&other.split.gain).then(other.node.cmp(&self.node))
    }
}

/// A leaf for which no split was searched yet.
struct PendingLeaf<const C: usize> {
    node: usize,
    rows: Range<usize>,
    depth: usize,
    bounds: LeafBounds,
    total: BinSums<C>,
}

/// Grows a tree on `rows`, which are then ordered by leaf. Without a limit of leaves, nodes are split depth first, so that few histograms
/// are kept; the tree is the same.
pub(crate) fn grow<const C: usize>(context: &GrowContext<C>, rows: &mut [u32], leaf: u64) -> GrownTree {
    let mut grower = TreeGrower {
        context,
        rng: Rng::with_seed(leaf),
        tree: Trees::default(),
        splits: vec![None],
        leaves: Vec::new(),
        sparse: SparseHistogram::new(),
    };
    let total = sum(context.input.derivatives, rows);
    let sums = context.scale.sums(&total);
    grower.tree.begin_tree(context.limits.constraints.value(&sums, UNBOUNDED), sums.second);
    let find_root_split = PendingLeaf { node: 0, rows: 0..rows.len(), depth: 0, bounds: UNBOUNDED, total };
    let mut scratch = vec![0; rows.len()];
    let best_first = context.limits.max_leaves < rows.len();
    let (mut heap, mut stack) = (BinaryHeap::new(), Vec::new());
    let mut children = vec![grower.find_root_split(rows, find_root_split)];
    let mut leaf_count = 1;
    loop {
        for open in children.drain(..) {
            match open {
                Ok(open) if best_first => heap.push(open),
                Ok(open) => stack.push(open),
                Err(leaf) => grower.leaves.push(leaf),
            }
        }
        if leaf_count >= context.limits.max_leaves {
            break;
        }
        let Some(open) = heap.pop().or_else(|| stack.pop()) else { break };
        leaf_count += 1;
        children = grower.split(open, rows, &mut scratch, leaf_count >= context.limits.max_leaves);
    }
    let unsplit = heap.into_iter().chain(stack).map(|open| Leaf { node: open.node, rows: open.rows });
    grower.leaves.extend(unsplit);
    grower.leaves.sort_by_key(|leaf| leaf.node);
    GrownTree { tree: grower.tree, leaves: grower.leaves, splits: grower.splits }
}

fn sum<const C: usize>(derivatives: &[BinSums<C>], rows: &[u32]) -> BinSums<C> {
    let mut total = [0_i64; C];
    for row in rows {
        crate::grower::histogram::add(&mut total, &derivatives[*row as usize]);
    }
    total
}

struct TreeGrower<'a, const C: usize> {
    context: &'a GrowContext<'a, C>,
    rng: Rng,
    tree: Trees,
    splits: Vec<Option<BinSplit>>,
    leaves: Vec<Leaf>,
    sparse: SparseHistogram<C>,
}

impl<const C: usize> TreeGrower<'_, C> {
    fn may_split(&self, leaf: &PendingLeaf<C>) -> bool {
        let limits = self.context.limits;
        let least = (2 * limits.constraints.min_rows.max(1) as usize).max(limits.min_rows_to_split);
        leaf.depth < limits.max_depth && leaf.rows.len() >= least
    }

    /// Searches the split of the root.
    fn find_root_split(&mut self, rows: &[u32], leaf: PendingLeaf<C>) -> Result<SplittableLeaf<C>, Leaf> {
        if !self.may_split(&leaf) || rows.len() < SMALL_NODE_ROWS {
            return self.find_split_by_rows(rows, leaf);
        }
        let GrowContext { input, all_rows, .. } = *self.context;
        let split_finder = self.split_finder(&leaf);
        let of = |tile: &Tile| {
            let sums = build(input, tile, rows, all_rows);
            let best = split_finder.best(self.context, tile, &sums);
            (sums, best)
        };
        let (histogram, best): (NodeHistogram<C>, Vec<Option<SplitCandidate<C>>>) = if input.parallel {
            input.data.tiles.par_iter().map(of).unzip()
        } else {
            input.data.tiles.iter().map(of).unzip()
        };
        leaf.open(best.into_iter().fold(None, larger_gain), Some(histogram))
    }

    /// The search for a split of a leaf, over a sample of features if so configured.
    fn split_finder(&mut self, leaf: &PendingLeaf<C>) -> SplitFinder<C> {
        let usable = self.context.input.usable_features;
        let mut features: Vec<usize> = (0..usable.len()).filter(|feature| usable[*feature]).collect();
        let few = self.context.limits.features_per_split;
        if few < features.len() {
            self.rng.shuffle(&mut features);
            features.truncate(few);
            features.sort_unstable();
        }
        let draw = self.context.limits.constraints.random.then(|| self.rng.u64(..));
        SplitFinder { features, draw, total: leaf.total, bounds: leaf.bounds }
    }

    /// Searches the split of a node with few rows.
    fn find_split_by_rows(&mut self, rows: &[u32], leaf: PendingLeaf<C>) -> Result<SplittableLeaf<C>, Leaf> {
        if !self.may_split(&leaf) {
            return leaf.open(None, None);
        }
        let split_finder = self.split_finder(&leaf);
        let HistogramInput { data, derivatives, .. } = self.context.input;
        let rows = &rows[leaf.rows.clone()];
        let mut best = None;
        for feature in &split_finder.features {
            self.sparse.fill(&data.columns[*feature], derivatives, rows);
            best = larger_gain(
                best,
                split_finder.best_for_feature(self.context, *feature, &FeatureHistogram::Sparse(&self.sparse)),
            );
            self.sparse.clear();
        }
        leaf.open(best, None)
    }

    /// Splits a leaf and returns its two children. `last` is true if no leaf is split afterwards.
    fn split(
        &mut self,
        open: SplittableLeaf<C>,
        rows: &mut [u32],
        scratch: &mut [u32],
        last: bool,
    ) -> Vec<Result<SplittableLeaf<C>, Leaf>> {
        let SplittableLeaf { node, rows: range, depth, bounds, split, histogram } = open;
        let GrowContext { input, scale, limits, .. } = *self.context;
        let known = &input.data.features[split.feature];
        let missing = known.missing_bin().filter(|_| matches!(split.rule, SplitRule::UpTo(_)));
        let division = BinSplit {
            feature: split.feature as u32,
            rule: split.rule,
            missing: missing.map(|bin| (bin as u8, split.missing_left)),
            left: self.splits.len() as u32,
        };
        let column = &input.data.columns[split.feature];
        let left_rows =
            partition_rows(column, &division, &mut rows[range.clone()], &mut scratch[range.clone()], input.parallel);
        let (left, right) = (scale.sums(&split.left), scale.sums(&split.right));
        let values = [limits.constraints.value(&left, bounds), limits.constraints.value(&right, bounds)];
        let covers = [left.second, right.second];
        let rule = match (split.rule, &known.kind) {
            (SplitRule::UpTo(bin), BinKind::Number { edges }) => {
                // there are only missing values after the last edge
                SplitCondition::AtMost(edges.get(usize::from(bin)).copied().unwrap_or(f64::MAX))
            }
            (SplitRule::In(set), BinKind::Category { codes }) => {
                let inside = codes.iter().enumerate().filter(|(bin, _)| set.contains(*bin as u8));
                SplitCondition::OneOf(inside.map(|(_, code)| *code).collect())
            }
            _ => unreachable!("numbers are split by thresholds and categories by sets"),
        };
        let children = [(values[0], covers[0]), (values[1], covers[1])];
        let first = self.tree.split(node, split.feature, &rule, split.missing_left, children);
        self.splits[node] = Some(division);
        self.splits.extend([None, None]);
        let middle = range.start + left_rows;
        let direction = limits.constraints.monotone.get(split.feature).copied().unwrap_or(0);
        let delta = f64::midpoint(values[0], values[1]);
        let (left_bounds, right_bounds) = match direction {
            1 => ((bounds.0, delta), (delta, bounds.1)),
            -1 => ((delta, bounds.1), (bounds.0, delta)),
            _ => (bounds, bounds),
        };
        let leaf = |side: usize, rows: Range<usize>, total: BinSums<C>, bounds: LeafBounds| PendingLeaf {
            node: first + side,
            rows,
            depth: depth + 1,
            bounds,
            total,
        };
        let left = leaf(0, range.start..middle, split.left, left_bounds);
        let right = leaf(1, middle..range.end, split.right, right_bounds);
        if last {
            return [left, right].map(|leaf| Err(Leaf { node: leaf.node, rows: leaf.rows })).into();
        }
        let few = |leaf: &PendingLeaf<C>| leaf.rows.len() < SMALL_NODE_ROWS || !self.may_split(leaf);
        match histogram {
            Some(parent) if !(few(&left) && few(&right)) => self.find_sibling_splits(rows, left, right, parent).into(),
            _ => vec![self.find_split_by_rows(rows, left), self.find_split_by_rows(rows, right)],
        }
    }

    /// Searches the splits of two siblings. The histogram of the smaller one is built; that of the other is the difference from their
    /// parent. The work is divided by tile, so that threads rarely wait for each other.
    fn find_sibling_splits(
        &mut self,
        rows: &[u32],
        left: PendingLeaf<C>,
        right: PendingLeaf<C>,
        parent: NodeHistogram<C>,
    ) -> [Result<SplittableLeaf<C>, Leaf>; 2] {
        let swapped = left.rows.len() > right.rows.len();
        let (small, large) = if swapped { (right, left) } else { (left, right) };
        let keep = [&small, &large].map(|leaf| self.may_split(leaf) && leaf.rows.len() >= SMALL_NODE_ROWS);
        // random numbers are drawn in the order of the tree, whatever the sizes
        let searches = if swapped {
            let large = self.split_finder(&large);
            [self.split_finder(&small), large]
        } else {
            [self.split_finder(&small), self.split_finder(&large)]
        };
        let GrowContext { input, .. } = *self.context;
        let rows_of_small = &rows[small.rows.clone()];
        let of = |(tile, mut sums): (&Tile, TileHistogram<C>)| {
            let built = build(input, tile, rows_of_small, false);
            sums.iter_mut().zip(&built).for_each(|(cell, less)| *cell = subtract(*cell, less));
            let best = [(&built, 0), (&sums, 1)]
                .map(|(sums, side)| keep[side].then(|| searches[side].best(self.context, tile, sums)).flatten());
            (built, sums, best)
        };
        let work = rows_of_small.len() * input.usable_features.len() + 4 * parent.iter().map(Vec::len).sum::<usize>();
        let children: Vec<(TileHistogram<C>, TileHistogram<C>, [Option<SplitCandidate<C>>; 2])> =
            if input.parallel && work >= PARALLEL_THRESHOLD {
                input.data.tiles.par_iter().zip(parent).map(of).collect()
            } else {
                input.data.tiles.iter().zip(parent).map(of).collect()
            };
        let (mut built, mut rest) = (Vec::with_capacity(children.len()), Vec::with_capacity(children.len()));
        let mut best = [None, None];
        for (small, large, [a, b]) in children {
            built.push(small);
            rest.push(large);
            best = [larger_gain(best[0], a), larger_gain(best[1], b)];
        }
        let mut open = |leaf: PendingLeaf<C>, histogram: NodeHistogram<C>, side: usize| {
            if keep[side] { leaf.open(best[side], Some(histogram)) } else { self.find_split_by_rows(rows, leaf) }
        };
        let (small, large) = (open(small, built, 0), open(large, rest, 1));
        if swapped { [large, small] } else { [small, large] }
    }
}

impl<const C: usize> PendingLeaf<C> {
    /// A leaf that can be split, or a final leaf if there is no split.
    fn open(self, split: Option<SplitCandidate<C>>, histogram: Option<NodeHistogram<C>>) -> Result<SplittableLeaf<C>, Leaf> {
        let Self { node, rows, depth, bounds, .. } = self;
        match split {
            Some(split) => Ok(SplittableLeaf { node, rows, depth, bounds, split, histogram }),
            None => Err(Leaf { node, rows }),
        }
    }
}
