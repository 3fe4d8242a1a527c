//! Gradient boosting (Friedman, 2001) with second derivatives (Chen and Guestrin, 2016), on histograms, leaf by leaf (Ke et al., 2017).

use std::sync::atomic::{AtomicU32, Ordering};

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    binning::{BinnedTable, sample_rows},
    early_stopper::EarlyStopper,
    grower::{
        constraints::{FixedPointScale, LeafConstraints},
        context::GrowContext,
        grown_tree::GrownTree,
        growth_limits::{GrowthLimits, count_of_share},
        histogram::{BinSums, HistogramInput},
        tree_grower::grow,
    },
    loss::{Derivatives, Loss},
    parameters::{BoostingError, BoostingParameters},
    tree::ensemble::Trees,
};

/// A fitted model: `base + Σ tree`, or its exponential for a loss with a logarithmic link.
#[derive(Clone, Debug, PartialEq)]
pub struct BoostedTrees {
    /// The prediction without any tree.
    pub base: f64,
    /// The trees; leaf values include the learning rate.
    pub trees: Trees,
}

/// Smallest number of rows for which leaves are filled in parallel; below it, starting threads costs more than the work.
const MIN_PARALLEL_ROWS: usize = 10_000;
/// Smallest number of rows of a parallel task.
const ROWS_PER_TASK: usize = 32_768;
/// Largest number of consecutive trees without a split when rows or features are sampled; the fit then ends.
const MAX_TREES_WITHOUT_SPLIT: usize = 20;
/// Bits of a histogram's integer that sums may use, excluding the sign and one spare bit.
const FIXED_POINT_BITS: u32 = 62;

/// Fits to `columns`, one per feature, where NaN is a missing value; `weights` has one weight per row. The result has the same bits at any
/// number of threads.
///
/// # Errors
/// If a setting is out of range, a number is infinite, or the loss cannot fit the target.
pub fn fit(
    columns: &[Vec<f64>],
    y: &[f64],
    weights: Option<&[f64]>,
    parameters: &BoostingParameters,
) -> Result<BoostedTrees, BoostingError> {
    parameters.validate(columns.len())?;
    check_data(columns, y, weights, parameters.loss)?;
    let base = parameters.loss.base(y, weights);
    // in units of the largest distance from the base: no square overflows, and the result does not depend on the unit of the target
    let unit = if parameters.loss.has_log_link() {
        1.0
    } else {
        y.iter().fold(0.0_f64, |largest, y| largest.max((y - base).abs()))
    };
    if columns.is_empty() || unit == 0.0 {
        return Ok(BoostedTrees { base, trees: Trees::default() });
    }
    if !base.is_finite() || !unit.is_finite() {
        return Err(BoostingError::Data("the target's numbers are too large to distinguish".into()));
    }
    let target: Vec<f64> =
        if parameters.loss.has_log_link() { y.to_vec() } else { y.iter().map(|y| (y - base) / unit).collect() };
    let start = if parameters.loss.has_log_link() { base } else { 0.0 };
    let work = || {
        let data = BinnedTable::new(columns, &parameters.categorical, parameters.max_bins);
        if weights.is_none() && parameters.loss.has_unit_curvature() {
            boost::<1>(&data, &target, start, unit, weights, parameters)
        } else {
            boost::<2>(&data, &target, start, unit, weights, parameters)
        }
    };
    // runs on a thread of the pool, where small tasks cost less
    let (mut trees, ()) = rayon::join(work, || ());
    trees.scale(unit);
    if trees.validate(columns.len()).is_err() {
        return Err(BoostingError::Data("the target's numbers are too large for the loss".into()));
    }
    Ok(BoostedTrees { base, trees })
}

pub(crate) fn check_data(columns: &[Vec<f64>], y: &[f64], weights: Option<&[f64]>, loss: Loss) -> Result<(), BoostingError> {
    let data = |message: String| Err(BoostingError::Data(message));
    if y.is_empty() {
        return data("the table has no row".into());
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
    if let Some(reason) = y.iter().find_map(|y| loss.target_error(*y)) {
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

/// The number of bits needed to count `rows` rows.
pub(crate) fn count_bits(rows: usize) -> u32 {
    usize::BITS - rows.leading_zeros()
}

/// The training data and the current prediction of each row.
struct BoostingState<'a> {
    target: &'a [f64],
    weights: Option<&'a [f64]>,
    loss: Loss,
    /// Huber's delta, updated before each tree.
    delta: f64,
    /// Huber's delta before the first tree, used to compare losses.
    initial_delta: f64,
    scores: Vec<f64>,
    /// The largest absolute derivatives of all rows.
    max_derivatives: Derivatives,
}

fn boost<const C: usize>(
    data: &BinnedTable,
    target: &[f64],
    start: f64,
    unit: f64,
    weights: Option<&[f64]>,
    parameters: &BoostingParameters,
) -> Trees {
    let rows = data.rows;
    let width = data.features.len();
    let mut rng = Rng::with_seed(parameters.seed);
    let mut state = BoostingState {
        target,
        weights,
        loss: parameters.loss,
        delta: 0.0,
        initial_delta: 0.0,
        scores: vec![start; rows],
        max_derivatives: (0.0, 0.0),
    };
    let first = |row: usize| magnitudes(state.loss.derivatives(target[row], start, 0.0), state.weight(row));
    state.max_derivatives = (0..rows).map(first).fold((0.0, 0.0), elementwise_max);
    let (training, held_out) = hold_out_rows(rows, parameters, &mut rng);
    state.initial_delta = state.huber_delta(&training).unwrap_or(0.0);
    let limits = GrowthLimits::new(parameters, width, unit, false);
    let parallel = rows >= MIN_PARALLEL_ROWS && rayon::current_num_threads() > 1;
    let mut derivatives = vec![[0; C]; rows];
    let leaf_of: Vec<AtomicU32> = (0..rows).map(|_| AtomicU32::new(0)).collect();
    let mut trees = Trees::default();
    let mut stopping = EarlyStopper::new(parameters, state.loss_on(&held_out));
    let mut tree_rows: Vec<u32> = Vec::new();
    let mut trees_without_split = 0;
    for _ in 0..parameters.iterations {
        let scale = state.compute_gradients(&training, &mut derivatives);
        let tree_features = sample_features(width, parameters.features_per_tree, &mut rng);
        let sample = (parameters.subsample * training.len() as f64).round().max(1.0) as usize;
        let sampled = sample < training.len();
        if sampled {
            tree_rows = sample_rows(&mut training.iter(), training.len(), sample, &mut rng);
        } else {
            tree_rows.clear();
            tree_rows.extend(training.iter());
        }
        let all_rows = tree_rows.len() == rows;
        let input = HistogramInput { data, derivatives: &derivatives, usable_features: &tree_features, parallel };
        let context = GrowContext { input, scale: &scale, limits: &limits, all_rows };
        let remaining = if all_rows { Vec::new() } else { complement(rows, &tree_rows) };
        let mut grown = grow(&context, &mut tree_rows, rng.u64(..));
        // another sample may have a split, so the fit goes on for a limited number of trees
        trees_without_split = if grown.leaves.len() == 1 { trees_without_split + 1 } else { 0 };
        let drawn = sampled || parameters.features_per_tree < 1.0 || parameters.features_per_split < 1.0;
        if trees_without_split > if drawn { MAX_TREES_WITHOUT_SPLIT } else { 0 } {
            break;
        }
        if trees_without_split > 0 {
            continue;
        }
        let values = state.leaf_values(&grown, &tree_rows, parameters, &limits.constraints);
        for (leaf, value) in grown.leaves.iter().zip(&values) {
            grown.tree.nodes[leaf.node].number = *value;
        }
        grown.leaves.par_iter().with_min_len(if parallel { 1 } else { usize::MAX }).for_each(|leaf| {
            let node = leaf.node as u32;
            tree_rows[leaf.rows.clone()].iter().for_each(|row| leaf_of[*row as usize].store(node, Ordering::Relaxed));
        });
        for row in remaining {
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

/// Samples the features of a tree: true for each feature that it may use.
fn sample_features(width: usize, share: f64, rng: &mut Rng) -> Vec<bool> {
    let count = count_of_share(width, share);
    if count == width {
        return vec![true; width];
    }
    let mut tree_features = vec![false; width];
    sample_rows(&mut (0..width as u32), width, count, rng)
        .into_iter()
        .for_each(|feature| tree_features[feature as usize] = true);
    tree_features
}

/// The training rows; all rows need no list.
enum TrainingRows {
    All(usize),
    Some(Vec<u32>),
}

impl TrainingRows {
    fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Some(rows) => rows.len(),
        }
    }

    /// The rows in ascending order.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (all, some) = match self {
            Self::All(rows) => (0..*rows as u32, &[][..]),
            Self::Some(rows) => (0..0, rows.as_slice()),
        };
        all.chain(some.iter().copied())
    }
}

/// Splits the rows into training rows and validation rows for early stopping.
fn hold_out_rows(rows: usize, parameters: &BoostingParameters, rng: &mut Rng) -> (TrainingRows, Vec<u32>) {
    let Some(stopping) = parameters.early_stopping else { return (TrainingRows::All(rows), Vec::new()) };
    let held_out = ((rows as f64 * stopping.fraction).ceil() as usize).min(rows - 1);
    let held_out = sample_rows(&mut (0..rows as u32), rows, held_out, rng);
    (TrainingRows::Some(complement(rows, &held_out)), held_out)
}

/// All rows except `these`, which are in ascending order.
fn complement(rows: usize, these: &[u32]) -> Vec<u32> {
    let mut these = these.iter().peekable();
    (0..rows as u32).filter(|row| these.next_if_eq(&row).is_none()).collect()
}

impl BoostingState<'_> {
    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Adds the leaf values of a tree to the predictions and updates the largest derivatives.
    fn advance(&mut self, grown: &GrownTree, leaf_of: &[AtomicU32]) {
        let (target, weights, loss, delta) = (self.target, self.weights, self.loss, self.delta);
        let advance = |(row, (score, leaf)): (usize, (&mut f64, &AtomicU32))| {
            *score += grown.tree.nodes[leaf.load(Ordering::Relaxed) as usize].number;
            magnitudes(loss.derivatives(target[row], *score, delta), weights.map_or(1.0, |weights| weights[row]))
        };
        let rows = self.scores.par_iter_mut().zip(leaf_of).enumerate().with_min_len(ROWS_PER_TASK);
        self.max_derivatives = rows.map(advance).reduce(|| (0.0, 0.0), elementwise_max);
    }

    /// Computes the derivatives of all rows in fixed point; returns the scale.
    fn compute_gradients<const C: usize>(
        &mut self,
        training: &TrainingRows,
        derivatives: &mut [BinSums<C>],
    ) -> FixedPointScale {
        if let Some(delta) = self.huber_delta(training) {
            self.delta = delta;
            self.max_derivatives.0 = delta * self.weights.map_or(1.0, |weights| weights.iter().copied().fold(0.0, f64::max));
        }
        let this = &*self;
        let weighted = |row: usize| {
            let (first, second) = this.loss.derivatives(this.target[row], this.scores[row], this.delta);
            let weight = this.weight(row);
            (first * weight, second * weight)
        };
        let rows = derivatives.len();
        let (first, second) = self.max_derivatives;
        let count_bits = count_bits(rows);
        // the sum over all rows must fit beside the number of rows
        let units = |bits: u32, largest: f64| if largest > 0.0 { f64::from(bits).exp2() / largest } else { 0.0 };
        let first_units = units(FIXED_POINT_BITS - if C == 1 { 2 * count_bits } else { count_bits }, first);
        let second_units = units(FIXED_POINT_BITS - 2 * count_bits, second);
        derivatives.par_iter_mut().enumerate().with_min_len(ROWS_PER_TASK).for_each(|(row, cell)| {
            let (first, second) = weighted(row);
            let first = round_to_fixed_point(first * first_units);
            if C == 1 {
                cell[0] = (first << count_bits) + 1;
            } else {
                cell[0] = first;
                cell[1] = (round_to_fixed_point(second * second_units) << count_bits) + 1;
            }
        });
        let unit = |units: f64| if units > 0.0 { 1.0 / units } else { 0.0 };
        FixedPointScale { first: unit(first_units), second: unit(second_units), count_bits }
    }

    /// The value of each leaf, multiplied by the learning rate.
    fn leaf_values(
        &self,
        grown: &GrownTree,
        rows: &[u32],
        parameters: &BoostingParameters,
        constraints: &LeafConstraints,
    ) -> Vec<f64> {
        let value = |leaf: &crate::grower::grown_tree::Leaf| {
            if !self.loss.refits_leaves() {
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
            // the L2 penalty shrinks the value as it shrinks a mean
            let weight: f64 = residuals.iter().map(|(_, weight)| weight).sum();
            self.loss.leaf_value(residuals, self.delta) * weight / (weight + constraints.l2) * parameters.learning_rate
        };
        let mut values: Vec<f64> = grown.leaves.par_iter().map(value).collect();
        if self.loss.refits_leaves() && constraints.monotone.iter().any(|direction| *direction != 0) {
            grown.enforce_monotonicity(&constraints.monotone, &mut values);
        }
        values
    }

    /// Huber's delta: a quantile of the absolute residuals of these rows; `None` for other losses.
    fn huber_delta(&self, rows: &TrainingRows) -> Option<f64> {
        let Loss::Huber { alpha } = self.loss else { return None };
        let magnitudes = |row: u32| {
            let row = row as usize;
            ((self.target[row] - self.scores[row]).abs(), self.weight(row))
        };
        Some(crate::loss::quantile(rows.iter().map(magnitudes).collect(), alpha))
    }

    /// The weighted mean loss of these rows; NaN if their weights are all 0.
    fn loss_on(&self, rows: &[u32]) -> f64 {
        let (mut loss, mut total) = (0.0, 0.0);
        for row in rows {
            let row = *row as usize;
            let weight = self.weight(row);
            loss += self.loss.value(self.target[row], self.scores[row], self.initial_delta) * weight;
            total += weight;
        }
        loss / total
    }
}

/// Absolute derivatives times the weight.
fn magnitudes((first, second): Derivatives, weight: f64) -> Derivatives {
    (first.abs() * weight, second * weight)
}

fn elementwise_max(a: Derivatives, b: Derivatives) -> Derivatives {
    (a.0.max(b.0), a.1.max(b.1))
}

/// Rounds to the nearest integer. `f64::round` is a function call on older processors.
#[inline]
fn round_to_fixed_point(x: f64) -> i64 {
    (x + if x < 0.0 { -0.5 } else { 0.5 }) as i64
}

#[cfg(test)]
mod tests;
