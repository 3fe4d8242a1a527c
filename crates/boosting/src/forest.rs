//! Forests: random forests (Breiman, 2001) and extremely randomised trees (Geurts, Ernst and Wehenkel, 2006) on histograms.

use fastrand::Rng;
use rayon::prelude::*;

use crate::{
    binning::BinnedTable,
    boosting::{check_data, count_bits},
    grower::{
        constraints::FixedPointScale, context::GrowContext, growth_limits::GrowthLimits, histogram::HistogramInput,
        tree_grower::grow,
    },
    parameters::{BoostingError, BoostingParameters},
    tree::ensemble::Trees,
};

/// Parameters of a forest; `tree` holds the limits of its trees and their number.
#[derive(Clone, Debug, PartialEq)]
pub struct ForestParameters {
    /// `iterations` is the number of trees; `loss`, `learning_rate`, `subsample` and `early_stopping` are not used.
    pub tree: BoostingParameters,
    /// True to grow each tree on a bootstrap sample (as many rows, drawn with replacement).
    pub bootstrap: bool,
    /// True to draw thresholds at random.
    pub random_thresholds: bool,
}

/// Fits the trees of a forest; the mean of their outputs is the prediction. NaN is a missing value. The result has the same bits at any
/// number of threads.
///
/// ```
/// use boosting::{BoostingParameters, EnsembleOutput, ForestParameters, fit_forest};
///
/// let x: Vec<f64> = (0..100).map(f64::from).collect();
/// let y: Vec<f64> = x.iter().map(|x| x * x).collect();
/// let tree = BoostingParameters { iterations: 50, min_samples_leaf: 1, max_leaves: None, ..BoostingParameters::default() };
/// let trees = fit_forest(&[x], &y, &ForestParameters { tree, bootstrap: true, random_thresholds: false })?;
/// let mean = EnsembleOutput { base: 0.0, factor: 1.0 / trees.len() as f64 };
/// assert!((trees.predict_row(&[50.0], mean) - 2500.0).abs() < 100.0);
/// # Ok::<(), boosting::BoostingError>(())
/// ```
///
/// # Errors
/// As `fit`.
pub fn fit_forest(columns: &[Vec<f64>], y: &[f64], forest: &ForestParameters) -> Result<Trees, BoostingError> {
    let parameters = &forest.tree;
    parameters.validate(columns.len())?;
    check_data(columns, y, None, parameters.loss)?;
    let rows = y.len();
    let mean = parameters.loss.base(y, None);
    let unit = y.iter().fold(0.0_f64, |largest, y| largest.max((y - mean).abs()));
    if columns.is_empty() || unit == 0.0 || !unit.is_finite() {
        if !unit.is_finite() {
            return Err(BoostingError::Data("the target's numbers are too large to distinguish".into()));
        }
        let mut trees = Trees::default();
        trees.begin_tree(mean, rows as f64);
        return Ok(trees);
    }
    let data = BinnedTable::new(columns, &parameters.categorical, parameters.max_bins);
    let count_bits = count_bits(rows);
    let units = f64::from(62 - 2 * count_bits).exp2();
    let derivatives: Vec<[i64; 1]> = y.iter().map(|y| [((((mean - y) / unit * units) as i64) << count_bits) + 1]).collect();
    let scale = FixedPointScale { first: unit / units, second: 1.0, count_bits };
    let limits = GrowthLimits::new(parameters, columns.len(), 1.0, forest.random_thresholds);
    let tree_features = vec![true; columns.len()];
    let grow_tree = |index: usize| {
        let mut rng = Rng::with_seed(parameters.seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut tree_rows: Vec<u32> = if forest.bootstrap {
            let mut times = vec![0_u32; rows];
            (0..rows).for_each(|_| times[rng.usize(..rows)] += 1);
            (0_u32..).zip(&times).flat_map(|(row, times)| std::iter::repeat_n(row, *times as usize)).collect()
        } else {
            (0..rows as u32).collect()
        };
        let input =
            HistogramInput { data: &data, derivatives: &derivatives, usable_features: &tree_features, parallel: false };
        let context = GrowContext { input, scale: &scale, limits: &limits, all_rows: !forest.bootstrap };
        let mut tree = grow(&context, &mut tree_rows, rng.u64(..)).tree;
        tree.shift(mean);
        tree
    };
    let grown: Vec<Trees> = (0..parameters.iterations).into_par_iter().map(grow_tree).collect();
    let mut trees = Trees::default();
    grown.iter().for_each(|tree| trees.append(tree));
    Ok(trees)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::traversal::EnsembleOutput;

    /// y = 10a + (b > ½), over 400 rows.
    fn rows() -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut rng = Rng::with_seed(3);
        let columns: Vec<Vec<f64>> = (0..3).map(|_| (0..400).map(|_| rng.f64()).collect()).collect();
        let y = (0..400).map(|row| 10.0 * columns[0][row] + f64::from(columns[1][row] > 0.5)).collect();
        (columns, y)
    }

    fn forest(bootstrap: bool, random_thresholds: bool) -> ForestParameters {
        let tree = BoostingParameters {
            max_leaves: None,
            min_samples_leaf: 1,
            iterations: 20,
            seed: 1,
            ..BoostingParameters::default()
        };
        ForestParameters { tree, bootstrap, random_thresholds }
    }

    #[test]
    fn full_trees_are_exact_and_sampled_ones_are_close() {
        let (columns, y) = rows();
        for (bootstrap, random) in [(false, false), (false, true), (true, false), (true, true)] {
            let trees = fit_forest(&columns, &y, &forest(bootstrap, random)).unwrap();
            assert_eq!((trees.len(), trees.validate(3)), (20, Ok(())));
            let predicted = trees.predict(&columns, 400, EnsembleOutput { base: 0.0, factor: 1.0 / 20.0 });
            let worst = predicted.iter().zip(&y).map(|(p, y)| (p - y).abs()).fold(0.0, f64::max);
            // two rows of one bin may share a leaf
            assert!(worst < if bootstrap { 2.0 } else { 0.1 }, "{bootstrap} {random}: {worst}");
            assert_eq!(trees, fit_forest(&columns, &y, &forest(bootstrap, random)).unwrap());
        }
    }

    #[test]
    fn a_constant_target_is_one_leaf() {
        let (columns, _) = rows();
        let trees = fit_forest(&columns, &[7.0; 400], &forest(true, false)).unwrap();
        assert_eq!(trees.outputs(&[0.1, 0.2, 0.3]).collect::<Vec<_>>(), [7.0]);
    }
}
