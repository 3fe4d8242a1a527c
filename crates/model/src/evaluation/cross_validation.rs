//! k-fold cross-validation on training rows.

use rayon::prelude::*;

use crate::{
    estimator::{fit::fit, fit_error::FitError, matrix::Matrix, target_transform::TargetTransform},
    evaluation::{
        folds::folds,
        learning_curve::{CurvePoint, curve_over_trees, mean_curve},
        metrics::Metrics,
    },
    parameters::Parameters,
};

/// Results of a cross-validation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossValidation {
    /// Metrics of each fold, fitted on the other folds, in the target's own unit.
    pub folds: Vec<Metrics>,
    /// Out-of-fold prediction of each row, in the target's own unit.
    pub predictions: Vec<f64>,
    /// For ensembles, the mean learning curve over trees; empty for other regressors.
    pub curve: Vec<CurvePoint>,
}

/// Cross-validates with `k` folds. `on_fold_done` is called after each fold.
///
/// # Errors
/// If a fold cannot be fitted.
pub fn cross_validate(
    x: &Matrix,
    y: &[f64],
    parameters: &Parameters,
    transform: TargetTransform,
    k: usize,
    seed: u64,
    on_fold_done: &(dyn Fn() + Sync),
) -> Result<CrossValidation, FitError> {
    let fold = folds(x.rows(), k, seed);
    let pick = |rows: &[usize]| rows.iter().map(|row| y[*row]).collect::<Vec<f64>>();
    let fold_results: Vec<FoldResult> = (0..k)
        .into_par_iter()
        .map(|held_out| {
            let (fold_rows, other_rows): (Vec<usize>, Vec<usize>) = (0..x.rows()).partition(|row| fold[*row] == held_out);
            let (train_y, held_y) = (pick(&other_rows), pick(&fold_rows));
            let (train_x, held_x) = (x.select_rows(&other_rows), x.select_rows(&fold_rows));
            let regressor = fit(&train_x, &train_y, parameters, transform, seed)?;
            let transform = parameters.remaining_transform(transform);
            let predicted: Vec<f64> = regressor.predict(&held_x).into_iter().map(|y| transform.inverse(y)).collect();
            let curve = curve_over_trees(&regressor, transform, (&train_x, &train_y), (&held_x, &held_y));
            on_fold_done();
            Ok(FoldResult { metrics: Metrics::compute(&held_y, &predicted), curve, rows: fold_rows, predicted })
        })
        .collect::<Result<_, FitError>>()?;
    let mut predictions = vec![f64::NAN; x.rows()];
    let (mut metrics, mut curves) = (Vec::new(), Vec::new());
    for fold in fold_results {
        fold.rows.iter().zip(fold.predicted).for_each(|(row, predicted)| predictions[*row] = predicted);
        metrics.push(fold.metrics);
        curves.extend(fold.curve);
    }
    Ok(CrossValidation { folds: metrics, predictions, curve: mean_curve(&curves) })
}

/// Results of one fold.
struct FoldResult {
    metrics: Metrics,
    curve: Option<Vec<CurvePoint>>,
    rows: Vec<usize>,
    predicted: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_even_and_seeded() {
        let fold = folds(103, 5, 1);
        for k in 0..5 {
            let size = fold.iter().filter(|fold| **fold == k).count();
            assert!(size == 20 || size == 21);
        }
        assert_eq!(fold, folds(103, 5, 1));
        assert_ne!(fold, folds(103, 5, 2));
    }
}
