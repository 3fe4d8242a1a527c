//! Grows one tree.

use std::{cmp::Ordering, collections::BinaryHeap, ops::Range};

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    binning::{BinKind, Tile},
    grower::{
        constraints::{Bounds, UNBOUNDED},
        context::Ground,
        grown_tree::{Grown, Leaf},
        histogram::{Cell, Input, Sparse, Sums, build, minus},
        partition::{BinSplit, divide},
        split_finder::{Search, better},
        splitter::{Bins, Side, Split, has},
    },
    tree::ensemble::{Rule, Trees},
};

/// With fewer rows than this, a node's sums are taken feature by feature, without a histogram to keep.
const FEW_ROWS: usize = 256;

/// Cells to add and bins to look at that are worth handing to other threads.
const MUCH_WORK: usize = 49_152;

/// A leaf that can be split.
struct Open<const C: usize> {
    node: usize,
    rows: Range<usize>,
    depth: usize,
    bounds: Bounds,
    split: Split<C>,
    histogram: Option<Histogram<C>>,
}

/// The sums of every tile.
type Histogram<const C: usize> = Vec<Sums<C>>;

impl<const C: usize> PartialEq for Open<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<const C: usize> Eq for Open<C> {}
impl<const C: usize> PartialOrd for Open<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<const C: usize> Ord for Open<C> {
    /// The larger gain first, then the older leaf.
    fn cmp(&self, other: &Self) -> Ordering {
        self.split.gain.total_cmp(&other.split.gain).then(other.node.cmp(&self.node))
    }
}

/// A node before its split is looked for.
struct Seed<const C: usize> {
    node: usize,
    rows: Range<usize>,
    depth: usize,
    bounds: Bounds,
    total: Cell<C>,
}

/// Grows a tree on `rows`, which come out divided by leaf. Without a limit of leaves, nodes are split as they come, so that few histograms
/// are kept; the tree is the same.
pub(crate) fn grow<const C: usize>(ground: &Ground<C>, rows: &mut [u32], seed: u64) -> Grown {
    let mut growing = Growing {
        ground,
        rng: Rng::with_seed(seed),
        tree: Trees::default(),
        splits: vec![None],
        closed: Vec::new(),
        sparse: Sparse::new(),
    };
    let total = sum(ground.input.derivatives, rows);
    let sums = ground.scale.sums(&total);
    growing.tree.begin_tree(ground.shape.limits.value(&sums, UNBOUNDED), sums.second);
    let root = Seed { node: 0, rows: 0..rows.len(), depth: 0, bounds: UNBOUNDED, total };
    let mut scratch = vec![0; rows.len()];
    let best_first = ground.shape.max_leaves < rows.len();
    let (mut heap, mut stack) = (BinaryHeap::new(), Vec::new());
    let mut found = vec![growing.root(rows, root)];
    let mut leaves = 1;
    loop {
        for open in found.drain(..) {
            match open {
                Ok(open) if best_first => heap.push(open),
                Ok(open) => stack.push(open),
                Err(leaf) => growing.closed.push(leaf),
            }
        }
        if leaves >= ground.shape.max_leaves {
            break;
        }
        let Some(open) = heap.pop().or_else(|| stack.pop()) else { break };
        leaves += 1;
        found = growing.split(open, rows, &mut scratch, leaves >= ground.shape.max_leaves);
    }
    let unsplit = heap.into_iter().chain(stack).map(|open| Leaf { node: open.node, rows: open.rows });
    growing.closed.extend(unsplit);
    growing.closed.sort_by_key(|leaf| leaf.node);
    Grown { tree: growing.tree, leaves: growing.closed, splits: growing.splits }
}

fn sum<const C: usize>(derivatives: &[Cell<C>], rows: &[u32]) -> Cell<C> {
    let mut total = [0_i64; C];
    for row in rows {
        crate::grower::histogram::add(&mut total, &derivatives[*row as usize]);
    }
    total
}

struct Growing<'a, const C: usize> {
    ground: &'a Ground<'a, C>,
    rng: Rng,
    tree: Trees,
    splits: Vec<Option<BinSplit>>,
    closed: Vec<Leaf>,
    sparse: Sparse<C>,
}

impl<const C: usize> Growing<'_, C> {
    fn may_split(&self, seed: &Seed<C>) -> bool {
        let shape = self.ground.shape;
        let least = (2 * shape.limits.min_rows.max(1) as usize).max(shape.min_rows_to_split);
        seed.depth < shape.max_depth && seed.rows.len() >= least
    }

    /// Looks for the split of the root.
    fn root(&mut self, rows: &[u32], seed: Seed<C>) -> Result<Open<C>, Leaf> {
        if !self.may_split(&seed) || rows.len() < FEW_ROWS {
            return self.open_few(rows, seed);
        }
        let Ground { input, whole, .. } = *self.ground;
        let search = self.search(&seed);
        let of = |tile: &Tile| {
            let sums = build(input, tile, rows, whole);
            let best = search.best(self.ground, tile, &sums);
            (sums, best)
        };
        let (histogram, best): (Histogram<C>, Vec<Option<Split<C>>>) = if input.parallel {
            input.data.tiles.par_iter().map(of).unzip()
        } else {
            input.data.tiles.iter().map(of).unzip()
        };
        seed.open(best.into_iter().fold(None, better), Some(histogram))
    }

    /// What is asked when the split of a node is looked for.
    fn search(&mut self, seed: &Seed<C>) -> Search<C> {
        let wanted = self.ground.input.wanted;
        let mut features: Vec<usize> = (0..wanted.len()).filter(|feature| wanted[*feature]).collect();
        let few = self.ground.shape.features_per_split;
        if few < features.len() {
            self.rng.shuffle(&mut features);
            features.truncate(few);
            features.sort_unstable();
        }
        let draw = self.ground.shape.limits.random.then(|| self.rng.u64(..));
        Search { features, draw, total: seed.total, bounds: seed.bounds }
    }

    /// Looks for the split of a node with few rows.
    fn open_few(&mut self, rows: &[u32], seed: Seed<C>) -> Result<Open<C>, Leaf> {
        if !self.may_split(&seed) {
            return seed.open(None, None);
        }
        let search = self.search(&seed);
        let Input { data, derivatives, .. } = self.ground.input;
        let rows = &rows[seed.rows.clone()];
        let mut best = None;
        for feature in &search.features {
            self.sparse.fill(&data.columns[*feature], derivatives, rows);
            best = better(best, search.best_of(self.ground, *feature, &Bins::Some(&self.sparse)));
            self.sparse.clear();
        }
        seed.open(best, None)
    }

    /// Splits a leaf; returns its two children. `last` says that no leaf will be split after this.
    fn split(&mut self, open: Open<C>, rows: &mut [u32], scratch: &mut [u32], last: bool) -> Vec<Result<Open<C>, Leaf>> {
        let Open { node, rows: range, depth, bounds, split, histogram } = open;
        let Ground { input, scale, shape, .. } = *self.ground;
        let known = &input.data.features[split.feature];
        let missing = known.missing_bin().filter(|_| matches!(split.side, Side::UpTo(_)));
        let division = BinSplit {
            feature: split.feature as u32,
            side: split.side,
            missing: missing.map(|bin| (bin as u8, split.missing_left)),
            left: self.splits.len() as u32,
        };
        let column = &input.data.columns[split.feature];
        let left_rows = divide(column, &division, &mut rows[range.clone()], &mut scratch[range.clone()], input.parallel);
        let (left, right) = (scale.sums(&split.left), scale.sums(&split.right));
        let values = [shape.limits.value(&left, bounds), shape.limits.value(&right, bounds)];
        let covers = [left.second, right.second];
        let rule = match (split.side, &known.kind) {
            (Side::UpTo(bin), BinKind::Number { edges }) => {
                // behind the last edge there are only missing values
                Rule::AtMost(edges.get(usize::from(bin)).copied().unwrap_or(f64::MAX))
            }
            (Side::In(set), BinKind::Category { codes }) => {
                let inside = codes.iter().enumerate().filter(|(bin, _)| has(&set, *bin as u8));
                Rule::OneOf(inside.map(|(_, code)| *code).collect())
            }
            _ => unreachable!("numbers are split by thresholds and categories by sets"),
        };
        let children = [(values[0], covers[0]), (values[1], covers[1])];
        let first = self.tree.split(node, split.feature, &rule, split.missing_left, children);
        self.splits[node] = Some(division);
        self.splits.extend([None, None]);
        let middle = range.start + left_rows;
        let direction = shape.limits.monotone.get(split.feature).copied().unwrap_or(0);
        let border = f64::midpoint(values[0], values[1]);
        let (left_bounds, right_bounds) = match direction {
            1 => ((bounds.0, border), (border, bounds.1)),
            -1 => ((border, bounds.1), (bounds.0, border)),
            _ => (bounds, bounds),
        };
        let seed = |side: usize, rows: Range<usize>, total: Cell<C>, bounds: Bounds| Seed {
            node: first + side,
            rows,
            depth: depth + 1,
            bounds,
            total,
        };
        let left = seed(0, range.start..middle, split.left, left_bounds);
        let right = seed(1, middle..range.end, split.right, right_bounds);
        if last {
            return [left, right].map(|seed| Err(Leaf { node: seed.node, rows: seed.rows })).into();
        }
        let few = |seed: &Seed<C>| seed.rows.len() < FEW_ROWS || !self.may_split(seed);
        match histogram {
            Some(parent) if !(few(&left) && few(&right)) => self.open_both(rows, left, right, parent).into(),
            _ => vec![self.open_few(rows, left), self.open_few(rows, right)],
        }
    }

    /// Looks for the splits of two siblings: the sums of the smaller one are taken, those of the other are what is left of their
    /// parent's. Tile by tile, so that threads have the whole of a tile to do before they meet.
    fn open_both(
        &mut self,
        rows: &[u32],
        left: Seed<C>,
        right: Seed<C>,
        parent: Histogram<C>,
    ) -> [Result<Open<C>, Leaf>; 2] {
        let swapped = left.rows.len() > right.rows.len();
        let (small, large) = if swapped { (right, left) } else { (left, right) };
        let keep = [&small, &large].map(|seed| self.may_split(seed) && seed.rows.len() >= FEW_ROWS);
        // in the order of the tree, whatever their sizes
        let searches = if swapped {
            let large = self.search(&large);
            [self.search(&small), large]
        } else {
            [self.search(&small), self.search(&large)]
        };
        let Ground { input, .. } = *self.ground;
        let rows_of_small = &rows[small.rows.clone()];
        let of = |(tile, mut sums): (&Tile, Sums<C>)| {
            let built = build(input, tile, rows_of_small, false);
            sums.iter_mut().zip(&built).for_each(|(cell, less)| *cell = minus(*cell, less));
            let best = [(&built, 0), (&sums, 1)]
                .map(|(sums, side)| keep[side].then(|| searches[side].best(self.ground, tile, sums)).flatten());
            (built, sums, best)
        };
        let work = rows_of_small.len() * input.wanted.len() + 4 * parent.iter().map(Vec::len).sum::<usize>();
        let found: Vec<(Sums<C>, Sums<C>, [Option<Split<C>>; 2])> = if input.parallel && work >= MUCH_WORK {
            input.data.tiles.par_iter().zip(parent).map(of).collect()
        } else {
            input.data.tiles.iter().zip(parent).map(of).collect()
        };
        let (mut built, mut rest) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        let mut best = [None, None];
        for (small, large, [a, b]) in found {
            built.push(small);
            rest.push(large);
            best = [better(best[0], a), better(best[1], b)];
        }
        let mut open = |seed: Seed<C>, histogram: Histogram<C>, side: usize| {
            if keep[side] { seed.open(best[side], Some(histogram)) } else { self.open_few(rows, seed) }
        };
        let (small, large) = (open(small, built, 0), open(large, rest, 1));
        if swapped { [large, small] } else { [small, large] }
    }
}

impl<const C: usize> Seed<C> {
    /// A leaf is what has no split.
    fn open(self, split: Option<Split<C>>, histogram: Option<Histogram<C>>) -> Result<Open<C>, Leaf> {
        let Self { node, rows, depth, bounds, .. } = self;
        match split {
            Some(split) => Ok(Open { node, rows, depth, bounds, split, histogram }),
            None => Err(Leaf { node, rows }),
        }
    }
}
