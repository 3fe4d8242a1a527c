//! The best split of a node by one feature.

use fastrand::Rng;

use crate::{
    binning::{BinKind, BinnedTable, MAX_BINS},
    grower::{
        constraints::{FixedPointScale, LeafBounds, LeafConstraints, NodeSums, UNBOUNDED},
        histogram::{BinSums, SparseHistogram, add, subtract},
    },
};

/// Rows that are added to each category before categories are sorted by slope, so that rare ones are near 0 (LightGBM's `cat_smooth`).
const CATEGORY_SMOOTHING: f64 = 10.0;
/// Extra L2 penalty for splits that are chosen among many sets of categories (LightGBM's `cat_l2`).
const CATEGORY_L2: f64 = 10.0;
/// Largest number of categories on the smaller side of a split (LightGBM's `max_cat_threshold`).
const MAX_CATEGORIES_IN_SET: usize = 32;
/// Largest number of categories that are split one against the rest; more are split by sets.
const MAX_ONE_VS_REST_CATEGORIES: usize = 4;
/// Smallest gain of a split relative to the node's score; smaller gains are rounding errors.
const MIN_RELATIVE_GAIN: f64 = 1e-12;

/// A set of bins, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BinSet([u64; MAX_BINS / 64]);

impl BinSet {
    /// True if `bin` is in the set.
    #[inline]
    pub(crate) fn contains(&self, bin: u8) -> bool {
        self.0[usize::from(bin >> 6)] >> (bin & 63) & 1 == 1
    }

    fn insert(&mut self, bin: usize) {
        self.0[bin / 64] |= 1 << (bin % 64);
    }
}

/// The bins that go left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SplitRule {
    /// The bins up to and including this one.
    UpTo(u8),
    /// The bins in the set.
    In(BinSet),
}

/// A possible split of a node, with its gain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitCandidate<const C: usize> {
    pub(crate) gain: f64,
    pub(crate) feature: usize,
    pub(crate) rule: SplitRule,
    pub(crate) missing_left: bool,
    pub(crate) left: BinSums<C>,
    pub(crate) right: BinSums<C>,
}

/// A node for which a split is searched.
#[derive(Clone, Copy)]
pub(crate) struct Splitter<'a, const C: usize> {
    pub(crate) data: &'a BinnedTable,
    pub(crate) limits: &'a LeafConstraints,
    pub(crate) scale: &'a FixedPointScale,
    pub(crate) total: BinSums<C>,
    pub(crate) bounds: LeafBounds,
}

/// The sums of a feature's bins.
pub(crate) enum FeatureHistogram<'a, const C: usize> {
    Dense(&'a [BinSums<C>]),
    Sparse(&'a SparseHistogram<C>),
}

impl<const C: usize> FeatureHistogram<'_, C> {
    #[inline]
    fn cell(&self, bin: usize) -> &BinSums<C> {
        match self {
            Self::Dense(cells) => &cells[bin],
            Self::Sparse(sparse) => &sparse.cells[bin],
        }
    }

    fn is_filled(&self, bin: usize) -> bool {
        match self {
            Self::Dense(cells) => cells[bin] != [0; C],
            Self::Sparse(sparse) => sparse.filled[bin / 64] >> (bin % 64) & 1 == 1,
        }
    }

    /// Calls `visit` for each filled bin below `end` in ascending order, until it returns false.
    #[inline]
    fn for_each_filled(&self, end: usize, mut visit: impl FnMut(usize, &BinSums<C>) -> bool) {
        match self {
            Self::Dense(cells) => {
                for (bin, cell) in cells[..end].iter().enumerate() {
                    if *cell != [0; C] && !visit(bin, cell) {
                        return;
                    }
                }
            }
            Self::Sparse(sparse) => {
                for bin in sparse.bins().take_while(|bin| *bin < end) {
                    if !visit(bin, &sparse.cells[bin]) {
                        return;
                    }
                }
            }
        }
    }
}

impl<const C: usize> Splitter<'_, C> {
    fn sums(&self, cell: &BinSums<C>) -> NodeSums {
        self.scale.sums(cell)
    }

    /// The best split by `feature` with a gain above the minimum.
    pub(crate) fn best(
        &self,
        feature: usize,
        bins: &FeatureHistogram<C>,
        rng: &mut Option<Rng>,
    ) -> Option<SplitCandidate<C>> {
        let known = &self.data.features[feature];
        let total = self.sums(&self.total);
        let node_score = self.limits.score(&total, self.bounds, self.limits.l2);
        let min_gain = self.limits.min_gain + MIN_RELATIVE_GAIN * node_score.abs();
        let candidate = match &known.kind {
            BinKind::Number { edges } => {
                let values = edges.len() + 1;
                let missing = known.missing_bin().map(|bin| *bins.cell(bin)).filter(|cell| *cell != [0; C]);
                if self.limits.random {
                    self.random_threshold(feature, bins, edges, missing, rng.as_mut()?)
                } else {
                    self.best_threshold(feature, bins, values, missing)
                }
            }
            BinKind::Category { codes } => self.best_set(feature, bins, codes.len()),
        };
        let mut split = candidate?;
        split.gain = (split.gain - node_score) / 2.0;
        (split.gain > min_gain).then_some(split)
    }

    fn satisfies_limits(&self, sums: &NodeSums) -> bool {
        sums.rows >= self.limits.min_rows && sums.second >= self.limits.min_second
    }

    fn best_threshold(
        &self,
        feature: usize,
        bins: &FeatureHistogram<C>,
        values: usize,
        missing: Option<BinSums<C>>,
    ) -> Option<SplitCandidate<C>> {
        let direction = self.limits.monotone.get(feature).copied().unwrap_or(0);
        let unconstrained = direction == 0 && self.bounds == UNBOUNDED && self.limits.l1 == 0.0;
        let (min_rows, min_second, l2) = (self.limits.min_rows, self.limits.min_second, self.limits.l2);
        let total = self.sums(&self.total);
        let mut best: Option<(f64, usize, bool, BinSums<C>)> = None;
        let mut best_gain = f64::NEG_INFINITY;
        if unconstrained
            && missing.is_none()
            && let FeatureHistogram::Dense(cells) = bins
        {
            let (gain, bin, left) = self.best_without_constraints(&cells[..values], &total)?;
            return Some(self.at_threshold(feature, bins, values, None, (gain, bin, false, left)));
        }
        for missing_left in [false, true] {
            let mut left = match (missing, missing_left) {
                (None, true) => break,
                (Some(cell), true) => cell,
                _ => [0; C],
            };
            // missing values that go right are on the right of the last value
            let end = if missing.is_some() && !missing_left { values } else { values - 1 };
            bins.for_each_filled(end, |bin, cell| {
                add(&mut left, cell);
                let sums = self.sums(&left);
                if sums.rows < min_rows || sums.second < min_second {
                    return true;
                }
                let right = NodeSums {
                    first: total.first - sums.first,
                    second: total.second - sums.second,
                    rows: total.rows - sums.rows,
                };
                if right.rows < min_rows.max(1) || right.second < min_second {
                    return false;
                }
                let gain = if unconstrained {
                    // one division fewer than the sum of two scores
                    let (a, b) = (sums.second + l2, right.second + l2);
                    (sums.first * sums.first * b + right.first * right.first * a) / (a * b)
                } else {
                    let Some(gain) = self.limits.score_pair(&sums, &right, self.bounds, direction, l2) else { return true };
                    gain
                };
                if gain > best_gain {
                    best_gain = gain;
                    best = Some((gain, bin, missing_left, left));
                }
                true
            });
        }
        Some(self.at_threshold(feature, bins, values, missing, best?))
    }

    /// The same for a feature without missing values and a node without bounds: all gains first, without a branch, then the largest.
    fn best_without_constraints(&self, cells: &[BinSums<C>], total: &NodeSums) -> Option<(f64, usize, BinSums<C>)> {
        let LeafConstraints { min_rows, min_second, l2, .. } = *self.limits;
        let (mask, shift) = ((1_i64 << self.scale.count_bits) - 1, self.scale.count_bits);
        let (mut firsts, mut seconds, mut rows) = ([0.0; MAX_BINS], [0.0; MAX_BINS], [0.0; MAX_BINS]);
        let mut left = [0; C];
        for (((first, second), count), cell) in firsts.iter_mut().zip(&mut seconds).zip(&mut rows).zip(cells) {
            add(&mut left, cell);
            let upper = (left[C - 1] >> shift) as f64;
            *count = (left[C - 1] & mask) as f64;
            if C == 1 {
                (*first, *second) = (upper * self.scale.first, *count);
            } else {
                (*first, *second) = (left[0] as f64 * self.scale.first, upper * self.scale.second);
            }
        }
        // counts and second derivatives grow from bin to bin
        let (min_gain, all) = (min_rows.max(1) as f64, total.rows as f64);
        let bins = cells.len();
        let start = rows[..bins].partition_point(|count| *count < min_gain);
        let start = start.max(seconds[..bins].partition_point(|second| *second < min_second));
        let end = rows[..bins].partition_point(|count| all - count >= min_gain);
        let end = end.min(seconds[..bins].partition_point(|second| total.second - second >= min_second));
        if start >= end {
            return None;
        }
        let mut gains = [0.0; MAX_BINS];
        for ((gain, first), second) in gains[start..end].iter_mut().zip(&firsts[start..end]).zip(&seconds[start..end]) {
            let (a, b, rest) = (second + l2, total.second - second + l2, total.first - first);
            *gain = (first * first * b + rest * rest * a) / (a * b);
        }
        let (mut best, mut best_gain) = (start, f64::NEG_INFINITY);
        for (bin, gain) in gains[start..end].iter().enumerate() {
            if *gain > best_gain {
                (best, best_gain) = (start + bin, *gain);
            }
        }
        let mut left = [0; C];
        cells[..=best].iter().for_each(|cell| add(&mut left, cell));
        Some((best_gain, best, left))
    }

    /// The split after a bin, half way to the next filled bin.
    fn at_threshold(
        &self,
        feature: usize,
        bins: &FeatureHistogram<C>,
        values: usize,
        missing: Option<BinSums<C>>,
        (gain, bin, missing_left, left): (f64, usize, bool, BinSums<C>),
    ) -> SplitCandidate<C> {
        let next = (bin + 1..values).find(|bin| bins.is_filled(*bin)).unwrap_or(values);
        let rule = if next == values { bin } else { usize::midpoint(bin, next - 1) };
        self.split(gain, feature, SplitRule::UpTo(rule as u8), missing.map(|_| missing_left), left)
    }

    fn split(
        &self,
        gain: f64,
        feature: usize,
        rule: SplitRule,
        missing_left: Option<bool>,
        left: BinSums<C>,
    ) -> SplitCandidate<C> {
        let right = subtract(self.total, &left);
        // without missing values in training, they follow the larger child
        let larger = self.sums(&left).rows >= self.sums(&right).rows;
        SplitCandidate { gain, feature, rule, missing_left: missing_left.unwrap_or(larger), left, right }
    }

    /// A threshold drawn uniformly between the smallest and the largest value of the node (Geurts, Ernst and Wehenkel, 2006).
    fn random_threshold(
        &self,
        feature: usize,
        bins: &FeatureHistogram<C>,
        edges: &[f64],
        missing: Option<BinSums<C>>,
        rng: &mut Rng,
    ) -> Option<SplitCandidate<C>> {
        let (mut low, mut high) = (None, 0);
        bins.for_each_filled(edges.len() + 1, |bin, _| {
            low.get_or_insert(bin);
            high = bin;
            true
        });
        let low = low?;
        let share = rng.f64();
        if low == high {
            return None;
        }
        let (first, last) = (edges[low], edges[high - 1]);
        let drawn = first + share * (last - first);
        let bin = edges[low..high - 1].partition_point(|edge| *edge < drawn) + low;
        let mut left = [0; C];
        bins.for_each_filled(bin + 1, |_, cell| {
            add(&mut left, cell);
            true
        });
        let missing_left = missing.map(|cell| {
            let goes_left = rng.bool();
            if goes_left {
                add(&mut left, &cell);
            }
            goes_left
        });
        let (a, b) = (self.sums(&left), self.sums(&subtract(self.total, &left)));
        if !self.satisfies_limits(&a) || !self.satisfies_limits(&b) {
            return None;
        }
        let direction = self.limits.monotone.get(feature).copied().unwrap_or(0);
        let gain = self.limits.score_pair(&a, &b, self.bounds, direction, self.limits.l2)?;
        Some(self.split(gain, feature, SplitRule::UpTo(bin as u8), missing_left, left))
    }

    /// The best set of categories from either end of their order by slope (Fisher, 1958). All other categories and missing values go right.
    fn best_set(&self, feature: usize, bins: &FeatureHistogram<C>, codes: usize) -> Option<SplitCandidate<C>> {
        let mut order: Vec<(f64, usize, BinSums<C>)> = Vec::new();
        bins.for_each_filled(codes, |bin, cell| {
            let sums = self.sums(cell);
            order.push((sums.first / (sums.second + CATEGORY_SMOOTHING), bin, *cell));
            true
        });
        let one_vs_rest = order.len() <= MAX_ONE_VS_REST_CATEGORIES;
        let l2 = self.limits.l2 + if one_vs_rest { 0.0 } else { CATEGORY_L2 };
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut best: Option<(f64, BinSet, BinSums<C>)> = None;
        let mut try_set = |set: BinSet, left: BinSums<C>| {
            let (a, b) = (self.sums(&left), self.sums(&subtract(self.total, &left)));
            if self.satisfies_limits(&a)
                && self.satisfies_limits(&b)
                && b.rows > 0
                && let Some(gain) = self.limits.score_pair(&a, &b, self.bounds, 0, l2)
                && best.as_ref().is_none_or(|(best_gain, ..)| gain > *best_gain)
            {
                best = Some((gain, set, left));
            }
        };
        for backwards in [false, true] {
            let (mut set, mut left) = (BinSet::default(), [0; C]);
            for place in 0..order.len().min(if one_vs_rest { order.len() } else { MAX_CATEGORIES_IN_SET }) {
                let (_, bin, cell) = order[if backwards { order.len() - 1 - place } else { place }];
                if one_vs_rest {
                    (set, left) = (BinSet::default(), [0; C]);
                }
                set.insert(bin);
                add(&mut left, &cell);
                try_set(set, left);
            }
        }
        let (gain, set, left) = best?;
        Some(self.split(gain, feature, SplitRule::In(set), Some(false), left))
    }
}
