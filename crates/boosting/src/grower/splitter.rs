//! Finds the split of a node that makes the loss fall most.

use fastrand::Rng;

use crate::{
    binning::{BinKind, Binned, MAX_BINS},
    grower::{
        constraints::{Bounds, Limits, Scale, Sums, UNBOUNDED},
        histogram::{Cell, Sparse, add, minus},
    },
};

/// Categories are put in order by their slopes, those of few rows drawn towards 0 by so many rows (LightGBM's `cat_smooth`).
const CATEGORY_SMOOTHING: f64 = 10.0;
/// What is added to the L2 penalty where a split is chosen among many sets of categories (LightGBM's `cat_l2`).
const CATEGORY_L2: f64 = 10.0;
/// Categories on the smaller side of a split at most (LightGBM's `max_cat_threshold`).
const CATEGORIES_IN_SET: usize = 32;
/// With more categories than this, sets of them are tried.
const ONE_AGAINST_REST: usize = 4;
/// A gain below this share of what the node has reached already is rounding.
const NO_GAIN: f64 = 1e-12;

/// A set of bins.
pub(crate) type BinSet = [u64; MAX_BINS / 64];

pub(crate) fn has(set: &BinSet, bin: u8) -> bool {
    set[usize::from(bin >> 6)] >> (bin & 63) & 1 == 1
}

/// Which bins go left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    /// Those up to this one.
    UpTo(u8),
    /// Those in the set.
    In(BinSet),
}

/// A split that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split<const C: usize> {
    pub(crate) gain: f64,
    pub(crate) feature: usize,
    pub(crate) side: Side,
    pub(crate) missing_left: bool,
    pub(crate) left: Cell<C>,
    pub(crate) right: Cell<C>,
}

/// A node whose split is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a, const C: usize> {
    pub(crate) data: &'a Binned,
    pub(crate) limits: &'a Limits,
    pub(crate) scale: &'a Scale,
    pub(crate) total: Cell<C>,
    pub(crate) bounds: Bounds,
}

/// The sums of a feature's bins.
pub(crate) enum Bins<'a, const C: usize> {
    All(&'a [Cell<C>]),
    Some(&'a Sparse<C>),
}

impl<const C: usize> Bins<'_, C> {
    #[inline]
    fn cell(&self, bin: usize) -> &Cell<C> {
        match self {
            Self::All(cells) => &cells[bin],
            Self::Some(sparse) => &sparse.cells[bin],
        }
    }

    fn is_filled(&self, bin: usize) -> bool {
        match self {
            Self::All(cells) => cells[bin] != [0; C],
            Self::Some(sparse) => sparse.filled[bin / 64] >> (bin % 64) & 1 == 1,
        }
    }

    /// Calls `visit` for every filled bin below `end`, in order, until it says to stop.
    #[inline]
    fn each(&self, end: usize, mut visit: impl FnMut(usize, &Cell<C>) -> bool) {
        match self {
            Self::All(cells) => {
                for (bin, cell) in cells[..end].iter().enumerate() {
                    if *cell != [0; C] && !visit(bin, cell) {
                        return;
                    }
                }
            }
            Self::Some(sparse) => {
                for bin in sparse.bins().take_while(|bin| *bin < end) {
                    if !visit(bin, &sparse.cells[bin]) {
                        return;
                    }
                }
            }
        }
    }
}

impl<const C: usize> Node<'_, C> {
    fn sums(&self, cell: &Cell<C>) -> Sums {
        self.scale.sums(cell)
    }

    /// The best split by `feature` that gains more than nothing.
    pub(crate) fn best(&self, feature: usize, bins: &Bins<C>, rng: &mut Option<Rng>) -> Option<Split<C>> {
        let known = &self.data.features[feature];
        let total = self.sums(&self.total);
        let reached = self.limits.score(&total, self.bounds, self.limits.l2);
        let least = self.limits.min_gain + NO_GAIN * reached.abs();
        let found = match &known.kind {
            BinKind::Number { edges } => {
                let values = edges.len() + 1;
                let missing = known.missing_bin().map(|bin| *bins.cell(bin)).filter(|cell| *cell != [0; C]);
                if self.limits.random {
                    self.random(feature, bins, edges, missing, rng.as_mut()?)
                } else {
                    self.best_threshold(feature, bins, values, missing)
                }
            }
            BinKind::Category { codes } => self.best_set(feature, bins, codes.len()),
        };
        let mut split = found?;
        split.gain = (split.gain - reached) / 2.0;
        (split.gain > least).then_some(split)
    }

    fn fits(&self, sums: &Sums) -> bool {
        sums.rows >= self.limits.min_rows && sums.second >= self.limits.min_second
    }

    fn best_threshold(&self, feature: usize, bins: &Bins<C>, values: usize, missing: Option<Cell<C>>) -> Option<Split<C>> {
        let direction = self.limits.monotone.get(feature).copied().unwrap_or(0);
        let plain = direction == 0 && self.bounds == UNBOUNDED && self.limits.l1 == 0.0;
        let (min_rows, min_second, l2) = (self.limits.min_rows, self.limits.min_second, self.limits.l2);
        let total = self.sums(&self.total);
        let mut best: Option<(f64, usize, bool, Cell<C>)> = None;
        let mut most = f64::NEG_INFINITY;
        if plain
            && missing.is_none()
            && let Bins::All(cells) = bins
        {
            let (gain, bin, left) = self.best_of_all(&cells[..values], &total)?;
            return Some(self.at_threshold(feature, bins, values, None, (gain, bin, false, left)));
        }
        for missing_left in [false, true] {
            let mut left = match (missing, missing_left) {
                (None, true) => break,
                (Some(cell), true) => cell,
                _ => [0; C],
            };
            // what is right of the last value is the missing ones, if they go right
            let end = if missing.is_some() && !missing_left { values } else { values - 1 };
            bins.each(end, |bin, cell| {
                add(&mut left, cell);
                let sums = self.sums(&left);
                if sums.rows < min_rows || sums.second < min_second {
                    return true;
                }
                let right = Sums {
                    first: total.first - sums.first,
                    second: total.second - sums.second,
                    rows: total.rows - sums.rows,
                };
                if right.rows < min_rows.max(1) || right.second < min_second {
                    return false;
                }
                let gain = if plain {
                    // a division less than the sum of the two scores
                    let (a, b) = (sums.second + l2, right.second + l2);
                    (sums.first * sums.first * b + right.first * right.first * a) / (a * b)
                } else {
                    let Some(gain) = self.limits.both(&sums, &right, self.bounds, direction, l2) else { return true };
                    gain
                };
                if gain > most {
                    most = gain;
                    best = Some((gain, bin, missing_left, left));
                }
                true
            });
        }
        Some(self.at_threshold(feature, bins, values, missing, best?))
    }

    /// The same for a feature without missing values and a node without bounds: all gains first, without a branch, then the largest.
    fn best_of_all(&self, cells: &[Cell<C>], total: &Sums) -> Option<(f64, usize, Cell<C>)> {
        let Limits { min_rows, min_second, l2, .. } = *self.limits;
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
        // both grow from bin to bin
        let (least, all) = (min_rows.max(1) as f64, total.rows as f64);
        let bins = cells.len();
        let start = rows[..bins].partition_point(|count| *count < least);
        let start = start.max(seconds[..bins].partition_point(|second| *second < min_second));
        let end = rows[..bins].partition_point(|count| all - count >= least);
        let end = end.min(seconds[..bins].partition_point(|second| total.second - second >= min_second));
        if start >= end {
            return None;
        }
        let mut gains = [0.0; MAX_BINS];
        for ((gain, first), second) in gains[start..end].iter_mut().zip(&firsts[start..end]).zip(&seconds[start..end]) {
            let (a, b, rest) = (second + l2, total.second - second + l2, total.first - first);
            *gain = (first * first * b + rest * rest * a) / (a * b);
        }
        let (mut best, mut most) = (start, f64::NEG_INFINITY);
        for (bin, gain) in gains[start..end].iter().enumerate() {
            if *gain > most {
                (best, most) = (start + bin, *gain);
            }
        }
        let mut left = [0; C];
        cells[..=best].iter().for_each(|cell| add(&mut left, cell));
        Some((most, best, left))
    }

    /// The split behind a bin: half way to the next value in this node.
    fn at_threshold(
        &self,
        feature: usize,
        bins: &Bins<C>,
        values: usize,
        missing: Option<Cell<C>>,
        (gain, bin, missing_left, left): (f64, usize, bool, Cell<C>),
    ) -> Split<C> {
        let next = (bin + 1..values).find(|bin| bins.is_filled(*bin)).unwrap_or(values);
        let side = if next == values { bin } else { usize::midpoint(bin, next - 1) };
        self.split(gain, feature, Side::UpTo(side as u8), missing.map(|_| missing_left), left)
    }

    fn split(&self, gain: f64, feature: usize, side: Side, missing_left: Option<bool>, left: Cell<C>) -> Split<C> {
        let right = minus(self.total, &left);
        // where training saw no missing value, it goes the way of most rows
        let larger = self.sums(&left).rows >= self.sums(&right).rows;
        Split { gain, feature, side, missing_left: missing_left.unwrap_or(larger), left, right }
    }

    /// A threshold drawn evenly between the ends of what the node has (Geurts, Ernst and Wehenkel, 2006).
    fn random(
        &self,
        feature: usize,
        bins: &Bins<C>,
        edges: &[f64],
        missing: Option<Cell<C>>,
        rng: &mut Rng,
    ) -> Option<Split<C>> {
        let (mut low, mut high) = (None, 0);
        bins.each(edges.len() + 1, |bin, _| {
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
        bins.each(bin + 1, |_, cell| {
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
        let (a, b) = (self.sums(&left), self.sums(&minus(self.total, &left)));
        if !self.fits(&a) || !self.fits(&b) {
            return None;
        }
        let direction = self.limits.monotone.get(feature).copied().unwrap_or(0);
        let gain = self.limits.both(&a, &b, self.bounds, direction, self.limits.l2)?;
        Some(self.split(gain, feature, Side::UpTo(bin as u8), missing_left, left))
    }

    /// Sets of categories from either end of their order by slope (Fisher, 1958); the rest and missing values go right.
    fn best_set(&self, feature: usize, bins: &Bins<C>, codes: usize) -> Option<Split<C>> {
        let mut order: Vec<(f64, usize, Cell<C>)> = Vec::new();
        bins.each(codes, |bin, cell| {
            let sums = self.sums(cell);
            order.push((sums.first / (sums.second + CATEGORY_SMOOTHING), bin, *cell));
            true
        });
        let one = order.len() <= ONE_AGAINST_REST;
        let l2 = self.limits.l2 + if one { 0.0 } else { CATEGORY_L2 };
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut best: Option<(f64, BinSet, Cell<C>)> = None;
        let mut try_set = |set: BinSet, left: Cell<C>| {
            let (a, b) = (self.sums(&left), self.sums(&minus(self.total, &left)));
            if self.fits(&a)
                && self.fits(&b)
                && b.rows > 0
                && let Some(gain) = self.limits.both(&a, &b, self.bounds, 0, l2)
                && best.as_ref().is_none_or(|(most, ..)| gain > *most)
            {
                best = Some((gain, set, left));
            }
        };
        for backwards in [false, true] {
            let (mut set, mut left) = ([0; MAX_BINS / 64], [0; C]);
            for place in 0..order.len().min(if one { order.len() } else { CATEGORIES_IN_SET }) {
                let (_, bin, cell) = order[if backwards { order.len() - 1 - place } else { place }];
                if one {
                    (set, left) = ([0; MAX_BINS / 64], [0; C]);
                }
                set[bin / 64] |= 1_u64 << (bin % 64);
                add(&mut left, &cell);
                try_set(set, left);
            }
        }
        let (gain, set, left) = best?;
        Some(self.split(gain, feature, Side::In(set), Some(false), left))
    }
}
