//! Gradient boosting (Friedman, 2001) with second derivatives (Chen and Guestrin, 2016), on histograms, leaf by leaf (Ke et al., 2017).

use std::sync::atomic::{AtomicU32, Ordering};

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    binning::{Binned, choose},
    grower::{
        constraints::{Limits, Scale},
        context::Ground,
        grown_tree::Grown,
        growth_limits::{Shape, share_of},
        histogram::{Cell, Input},
        tree_grower::grow,
    },
    loss::{Derivatives, Loss},
    parameters::{FitError, Parameters},
    tree::ensemble::Trees,
};

/// A fitted model: `base + Σ tree`, the exponential of it for a loss with a logarithmic link.
#[derive(Clone, Debug, PartialEq)]
pub struct Boosted {
    /// What is predicted without any tree.
    pub base: f64,
    /// The trees; the learning rate is in their leaves.
    pub trees: Trees,
}

/// With fewer rows than this, one thread is done before another has woken up.
const MANY_ROWS: usize = 10_000;
/// Rows that are worth a task of their own.
const ROWS_PER_TASK: usize = 32_768;
/// Trees without a split that may follow one another, where rows or features are drawn.
const FRUITLESS: usize = 20;
/// Bits of a histogram's cell that may be used, its sign left out.
const BITS: u32 = 62;

/// Fits to `columns`, a feature each, in which NaN is a missing value; `weights` are of rows. The same bits at any number of threads.
///
/// # Errors
/// If a setting is out of range, a number is infinite or the target does not suit the loss.
pub fn fit(columns: &[Vec<f64>], y: &[f64], weights: Option<&[f64]>, parameters: &Parameters) -> Result<Boosted, FitError> {
    parameters.check(columns.len())?;
    check_data(columns, y, weights, parameters.loss)?;
    let base = parameters.loss.base(y, weights);
    // in units of the largest distance, so that no square overflows and nothing depends on the target's unit
    let unit =
        if parameters.loss.has_log_link() { 1.0 } else { y.iter().fold(0.0_f64, |most, y| most.max((y - base).abs())) };
    if columns.is_empty() || unit == 0.0 {
        return Ok(Boosted { base, trees: Trees::default() });
    }
    if !base.is_finite() || !unit.is_finite() {
        return Err(FitError::Data("the target's numbers are too large to be told apart".into()));
    }
    let target: Vec<f64> =
        if parameters.loss.has_log_link() { y.to_vec() } else { y.iter().map(|y| (y - base) / unit).collect() };
    let start = if parameters.loss.has_log_link() { base } else { 0.0 };
    let work = || {
        let data = Binned::new(columns, &parameters.categorical, parameters.max_bins);
        if weights.is_none() && parameters.loss.is_flat() {
            boost::<1>(&data, &target, start, unit, weights, parameters)
        } else {
            boost::<2>(&data, &target, start, unit, weights, parameters)
        }
    };
    // on a thread of the pool, so that small tasks are not handed over from outside
    let (mut trees, ()) = rayon::join(work, || ());
    trees.scale(unit);
    if trees.check(columns.len()).is_err() {
        return Err(FitError::Data("the target's numbers are too large for the loss".into()));
    }
    Ok(Boosted { base, trees })
}

pub(crate) fn check_data(columns: &[Vec<f64>], y: &[f64], weights: Option<&[f64]>, loss: Loss) -> Result<(), FitError> {
    let data = |message: String| Err(FitError::Data(message));
    if y.is_empty() {
        return data("there is no row".into());
    }
    if y.len() > u32::MAX as usize / 32 {
        return data(format!("{} rows are too many", y.len()));
    }
    if columns.iter().any(|column| column.len() != y.len()) || weights.is_some_and(|weights| weights.len() != y.len()) {
        return data("features, target and weights differ in length".into());
    }
    if let Some(feature) = columns.iter().position(|column| column.iter().any(|value| value.is_infinite())) {
        return data(format!("feature {feature} holds an infinite number"));
    }
    if let Some(row) = y.iter().position(|y| !y.is_finite()) {
        return data(format!("the target of row {} is not a finite number", row + 1));
    }
    if let Some(reason) = y.iter().find_map(|y| loss.refuses(*y)) {
        return data(reason.into());
    }
    if weights.is_some_and(|weights| !weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)) {
        return data("weights must be finite numbers of at least 0".into());
    }
    if weights.is_some_and(|weights| weights.iter().all(|weight| *weight == 0.0)) {
        return data("all weights are 0".into());
    }
    Ok(())
}

/// The number of bits that can count `rows` rows.
pub(crate) fn count_bits(rows: usize) -> u32 {
    usize::BITS - rows.leading_zeros()
}

/// What is learned from, and how it stands.
struct State<'a> {
    target: &'a [f64],
    weights: Option<&'a [f64]>,
    loss: Loss,
    /// Huber's, anew for every tree.
    border: f64,
    /// Huber's before the first tree: what losses are compared with.
    first_border: f64,
    scores: Vec<f64>,
    /// The largest derivatives.
    most: Derivatives,
}

fn boost<const C: usize>(
    data: &Binned,
    target: &[f64],
    start: f64,
    unit: f64,
    weights: Option<&[f64]>,
    parameters: &Parameters,
) -> Trees {
    let rows = data.rows;
    let width = data.features.len();
    let mut rng = Rng::with_seed(parameters.seed);
    let mut state = State {
        target,
        weights,
        loss: parameters.loss,
        border: 0.0,
        first_border: 0.0,
        scores: vec![start; rows],
        most: (0.0, 0.0),
    };
    let first = |row: usize| size(state.loss.derivatives(target[row], start, 0.0), state.weight(row));
    state.most = (0..rows).map(first).fold((0.0, 0.0), larger);
    let (learned, held_out) = set_apart(rows, parameters, &mut rng);
    state.first_border = state.border_on(&learned).unwrap_or(0.0);
    let shape = Shape::of(parameters, width, unit, false);
    let parallel = rows >= MANY_ROWS && rayon::current_num_threads() > 1;
    let mut derivatives = vec![[0; C]; rows];
    let leaf_of: Vec<AtomicU32> = (0..rows).map(|_| AtomicU32::new(0)).collect();
    let mut trees = Trees::default();
    let mut stopping = Stopping::new(parameters, state.loss_on(&held_out));
    let mut chosen: Vec<u32> = Vec::new();
    let mut fruitless = 0;
    for _ in 0..parameters.iterations {
        let scale = state.derive(&learned, &mut derivatives);
        let wanted = features(width, parameters.features_per_tree, &mut rng);
        let sample = (parameters.subsample * learned.len() as f64).round().max(1.0) as usize;
        let sampled = sample < learned.len();
        if sampled {
            chosen = choose(&mut learned.iter(), learned.len(), sample, &mut rng);
        } else {
            chosen.clear();
            chosen.extend(learned.iter());
        }
        let whole = chosen.len() == rows;
        let input = Input { data, derivatives: &derivatives, wanted: &wanted, parallel };
        let ground = Ground { input, scale: &scale, shape: &shape, whole };
        let outside = if whole { Vec::new() } else { others(rows, &chosen) };
        let mut grown = grow(&ground, &mut chosen, rng.u64(..));
        // with other rows or features there may be a split; not for ever
        fruitless = if grown.leaves.len() == 1 { fruitless + 1 } else { 0 };
        let drawn = sampled || parameters.features_per_tree < 1.0 || parameters.features_per_split < 1.0;
        if fruitless > if drawn { FRUITLESS } else { 0 } {
            break;
        }
        if fruitless > 0 {
            continue;
        }
        let values = state.leaf_values(&grown, &chosen, parameters, &shape.limits);
        for (leaf, value) in grown.leaves.iter().zip(&values) {
            grown.tree.nodes[leaf.node].number = *value;
        }
        grown.leaves.par_iter().with_min_len(if parallel { 1 } else { usize::MAX }).for_each(|leaf| {
            let node = leaf.node as u32;
            chosen[leaf.rows.clone()].iter().for_each(|row| leaf_of[*row as usize].store(node, Ordering::Relaxed));
        });
        for row in outside {
            leaf_of[row as usize].store(grown.leaf_of(data, row as usize) as u32, Ordering::Relaxed);
        }
        state.advance(&grown, &leaf_of);
        trees.append(&grown.tree);
        if stopping.is_due(trees.len(), state.loss_on(&held_out)) {
            break;
        }
    }
    if let Some(best) = stopping.best() {
        trees.truncate(best);
    }
    trees
}

/// Which features a tree may ask for.
fn features(width: usize, share: f64, rng: &mut Rng) -> Vec<bool> {
    let count = share_of(width, share);
    if count == width {
        return vec![true; width];
    }
    let mut wanted = vec![false; width];
    choose(&mut (0..width as u32), width, count, rng).into_iter().for_each(|feature| wanted[feature as usize] = true);
    wanted
}

/// The rows to learn from: all of them need no list.
enum Learned {
    All(usize),
    Some(Vec<u32>),
}

impl Learned {
    fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Some(rows) => rows.len(),
        }
    }

    /// In ascending order.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (all, some) = match self {
            Self::All(rows) => (0..*rows as u32, &[][..]),
            Self::Some(rows) => (0..0, rows.as_slice()),
        };
        all.chain(some.iter().copied())
    }
}

/// The rows to learn from, and those to stop by.
fn set_apart(rows: usize, parameters: &Parameters, rng: &mut Rng) -> (Learned, Vec<u32>) {
    let Some(stopping) = parameters.early_stopping else { return (Learned::All(rows), Vec::new()) };
    let held_out = ((rows as f64 * stopping.fraction).ceil() as usize).min(rows - 1);
    let held_out = choose(&mut (0..rows as u32), rows, held_out, rng);
    (Learned::Some(others(rows, &held_out)), held_out)
}

/// The rows that are not among these, which are in ascending order.
fn others(rows: usize, these: &[u32]) -> Vec<u32> {
    let mut these = these.iter().peekable();
    (0..rows as u32).filter(|row| these.next_if_eq(&row).is_none()).collect()
}

impl State<'_> {
    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Adds the values of a grown tree; takes the largest derivatives on the way.
    fn advance(&mut self, grown: &Grown, leaf_of: &[AtomicU32]) {
        let (target, weights, loss, border) = (self.target, self.weights, self.loss, self.border);
        let of = |(row, (score, leaf)): (usize, (&mut f64, &AtomicU32))| {
            *score += grown.tree.nodes[leaf.load(Ordering::Relaxed) as usize].number;
            size(loss.derivatives(target[row], *score, border), weights.map_or(1.0, |weights| weights[row]))
        };
        let rows = self.scores.par_iter_mut().zip(leaf_of).enumerate().with_min_len(ROWS_PER_TASK);
        self.most = rows.map(of).reduce(|| (0.0, 0.0), larger);
    }

    /// The derivatives in whole numbers, and what one is worth.
    fn derive<const C: usize>(&mut self, learned: &Learned, derivatives: &mut [Cell<C>]) -> Scale {
        if let Some(border) = self.border_on(learned) {
            self.border = border;
            self.most.0 = border * self.weights.map_or(1.0, |weights| weights.iter().copied().fold(0.0, f64::max));
        }
        let this = &*self;
        let of = |row: usize| {
            let (first, second) = this.loss.derivatives(this.target[row], this.scores[row], this.border);
            let weight = this.weight(row);
            (first * weight, second * weight)
        };
        let rows = derivatives.len();
        let (first, second) = self.most;
        let count_bits = count_bits(rows);
        // sums of as many rows as there are must fit beside their number
        let units = |bits: u32, most: f64| if most > 0.0 { f64::from(bits).exp2() / most } else { 0.0 };
        let first_units = units(BITS - if C == 1 { 2 * count_bits } else { count_bits }, first);
        let second_units = units(BITS - 2 * count_bits, second);
        derivatives.par_iter_mut().enumerate().with_min_len(ROWS_PER_TASK).for_each(|(row, cell)| {
            let (first, second) = of(row);
            let first = nearest(first * first_units);
            if C == 1 {
                cell[0] = (first << count_bits) + 1;
            } else {
                cell[0] = first;
                cell[1] = (nearest(second * second_units) << count_bits) + 1;
            }
        });
        let unit = |units: f64| if units > 0.0 { 1.0 / units } else { 0.0 };
        Scale { first: unit(first_units), second: unit(second_units), count_bits }
    }

    /// What the leaves predict, the learning rate taken.
    fn leaf_values(&self, grown: &Grown, rows: &[u32], parameters: &Parameters, limits: &Limits) -> Vec<f64> {
        let value = |leaf: &crate::grower::grown_tree::Leaf| {
            if !self.loss.renews_leaves() {
                return grown.tree.nodes[leaf.node].number * parameters.learning_rate;
            }
            let residual = |row: &u32| {
                let row = *row as usize;
                (self.target[row] - self.scores[row], self.weight(row))
            };
            let residuals: Vec<(f64, f64)> =
                rows[leaf.rows.clone()].iter().map(residual).filter(|(_, weight)| *weight > 0.0).collect();
            if residuals.is_empty() {
                return 0.0;
            }
            // a penalty draws towards 0 as it does for a mean
            let weight: f64 = residuals.iter().map(|(_, weight)| weight).sum();
            self.loss.leaf(residuals, self.border) * weight / (weight + limits.l2) * parameters.learning_rate
        };
        let mut values: Vec<f64> = grown.leaves.par_iter().map(value).collect();
        if self.loss.renews_leaves() && limits.monotone.iter().any(|direction| *direction != 0) {
            grown.keep_in_order(&limits.monotone, &mut values);
        }
        values
    }

    /// Huber's border: a quantile of the sizes of residuals on these rows.
    fn border_on(&self, rows: &Learned) -> Option<f64> {
        let Loss::Huber { alpha } = self.loss else { return None };
        let size = |row: u32| {
            let row = row as usize;
            ((self.target[row] - self.scores[row]).abs(), self.weight(row))
        };
        Some(crate::loss::quantile(rows.iter().map(size).collect(), alpha))
    }

    /// The mean loss on these rows.
    fn loss_on(&self, rows: &[u32]) -> f64 {
        let (mut loss, mut total) = (0.0, 0.0);
        for row in rows {
            let row = *row as usize;
            let weight = self.weight(row);
            loss += self.loss.value(self.target[row], self.scores[row], self.first_border) * weight;
            total += weight;
        }
        loss / total
    }
}

/// How large derivatives are.
fn size((first, second): Derivatives, weight: f64) -> Derivatives {
    (first.abs() * weight, second * weight)
}

fn larger(a: Derivatives, b: Derivatives) -> Derivatives {
    (a.0.max(b.0), a.1.max(b.1))
}

/// The nearest whole number; `f64::round` is a call without a newer processor.
#[inline]
fn nearest(x: f64) -> i64 {
    (x + if x < 0.0 { -0.5 } else { 0.5 }) as i64
}

/// Watches the loss on rows that are set apart.
struct Stopping {
    settings: Option<crate::parameters::EarlyStopping>,
    least: f64,
    trees: usize,
}

impl Stopping {
    fn new(parameters: &Parameters, loss: f64) -> Self {
        Self { settings: parameters.early_stopping, least: loss, trees: 0 }
    }

    /// Whether `trees` trees with this loss are enough.
    fn is_due(&mut self, trees: usize, loss: f64) -> bool {
        let Some(settings) = self.settings else { return false };
        if loss.is_nan() {
            // nothing that weighs anything was set apart
            self.trees = trees;
            return false;
        }
        if loss < self.least - settings.tolerance * self.least.abs() {
            (self.least, self.trees) = (loss, trees);
        }
        !loss.is_finite() || trees - self.trees >= settings.rounds
    }

    /// The number of trees with the least loss.
    fn best(&self) -> Option<usize> {
        self.settings.map(|_| self.trees)
    }
}

#[cfg(test)]
mod tests;
