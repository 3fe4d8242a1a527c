//! k-fold cross-validation on training rows.

use rayon::prelude::*;

use crate::{
    estimator::{fit::fit, fit_error::FitError, matrix::Matrix, target_transform::TargetTransform},
    evaluation::{
        folds::folds,
        learning_curve::{CurvePoint, mean_curve, over_trees},
        metrics::Metrics,
    },
    parameters::Parameters,
};

/// What the folds showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossValidation {
    /// The metrics of each fold: fitted on the others, measured on it, in the target's own unit.
    pub folds: Vec<Metrics>,
    /// What was predicted for each row by the fit that had not seen it, in the target's own unit.
    pub predictions: Vec<f64>,
    /// For ensembles, how the error fell with the trees: the mean over folds.
    pub curve: Vec<CurvePoint>,
}

/// Fits and measures `k` times, each time with another fold held out. `done` is called after each fold.
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
    done: &(dyn Fn() + Sync),
) -> Result<CrossValidation, FitError> {
    let fold = folds(x.rows(), k, seed);
    let pick = |rows: &[usize]| rows.iter().map(|row| y[*row]).collect::<Vec<f64>>();
    let found: Vec<Fold> = (0..k)
        .into_par_iter()
        .map(|held_out| {
            let (inside, outside): (Vec<usize>, Vec<usize>) = (0..x.rows()).partition(|row| fold[*row] == held_out);
            let (train_y, held_y) = (pick(&outside), pick(&inside));
            let (train_x, held_x) = (x.select_rows(&outside), x.select_rows(&inside));
            let regressor = fit(&train_x, &train_y, parameters, transform, seed)?;
            let transform = parameters.remaining_transform(transform);
            let predicted: Vec<f64> = regressor.predict(&held_x).into_iter().map(|y| transform.inverse(y)).collect();
            let curve = over_trees(&regressor, transform, (&train_x, &train_y), (&held_x, &held_y));
            done();
            Ok(Fold { metrics: Metrics::of(&held_y, &predicted), curve, rows: inside, predicted })
        })
        .collect::<Result<_, FitError>>()?;
    let mut predictions = vec![f64::NAN; x.rows()];
    let (mut metrics, mut curves) = (Vec::new(), Vec::new());
    for fold in found {
        fold.rows.iter().zip(fold.predicted).for_each(|(row, predicted)| predictions[*row] = predicted);
        metrics.push(fold.metrics);
        curves.extend(fold.curve);
    }
    Ok(CrossValidation { folds: metrics, predictions, curve: mean_curve(&curves) })
}

/// What one fold showed.
struct Fold {
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
