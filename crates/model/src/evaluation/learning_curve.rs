//! Learning curves: error by the number of trees of an ensemble, or of rows of a linear function.

use crate::{
    estimator::{Ensemble, Regressor, fit::fit, fit_error::FitError, matrix::Matrix, target_transform::TargetTransform},
    evaluation::folds::folds,
    parameters::Parameters,
};

/// Largest number of points of a curve.
const MAX_CURVE_POINTS: usize = 40;
/// Shares of the training rows of a curve over rows.
const ROW_SHARES: [f64; 8] = [0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0];
/// Number of folds of a curve over rows; one of them is for validation.
const VALIDATION_FOLDS: usize = 5;

/// Root mean squared errors at one point of a curve, in the target's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Number of trees or training rows.
    pub step: u32,
    /// Error on training rows.
    pub train_rmse: f64,
    /// Error on validation rows.
    pub validation_rmse: f64,
}

/// The curve of an ensemble over its trees; `None` for other regressors.
pub(crate) fn curve_over_trees(
    regressor: &Regressor,
    transform: TargetTransform,
    train: (&Matrix, &[f64]),
    validation: (&Matrix, &[f64]),
) -> Option<Vec<CurvePoint>> {
    let Regressor::Trees(ensemble) = regressor else { return None };
    let steps = steps(ensemble.trees.len());
    let rmse = |(x, y): (&Matrix, &[f64])| staged_rmse(ensemble, transform, &steps, x, y);
    let (train, validation) = (rmse(train), rmse(validation));
    let point = |index: usize| CurvePoint {
        step: steps[index] as u32,
        train_rmse: train[index],
        validation_rmse: validation[index],
    };
    Some((0..steps.len()).map(point).collect())
}

/// Numbers of trees, evenly spaced up to all trees.
fn steps(trees: usize) -> Vec<usize> {
    let points = trees.min(MAX_CURVE_POINTS);
    (1..=points).map(|point| trees * point / points).collect()
}

fn staged_rmse(ensemble: &Ensemble, transform: TargetTransform, steps: &[usize], x: &Matrix, y: &[f64]) -> Vec<f64> {
    let mean = ensemble.factor != 1.0;
    let mut squared = vec![0.0; steps.len()];
    let mut row = vec![0.0; x.width()];
    for (index, y) in y.iter().enumerate() {
        x.copy_row(index, &mut row);
        let (mut sum, mut next) = (ensemble.base, 0);
        for (tree, output) in ensemble.trees.outputs(&row).enumerate() {
            sum += output;
            if steps.get(next) == Some(&(tree + 1)) {
                let predicted = if mean { sum / (tree + 1) as f64 } else { sum };
                let predicted = if ensemble.log_link { predicted.exp() } else { predicted };
                squared[next] += (y - transform.inverse(predicted)).powi(2);
                next += 1;
            }
        }
    }
    squared.into_iter().map(|sum| (sum / y.len().max(1) as f64).sqrt()).collect()
}

/// The mean of several curves with the same steps.
pub fn mean_curve(curves: &[Vec<CurvePoint>]) -> Vec<CurvePoint> {
    let Some(first) = curves.first() else { return Vec::new() };
    let mean = |index: usize, value: &dyn Fn(&CurvePoint) -> f64| {
        curves.iter().filter_map(|curve| curve.get(index)).map(value).sum::<f64>() / curves.len() as f64
    };
    let point = |(index, point): (usize, &CurvePoint)| CurvePoint {
        step: point.step,
        train_rmse: mean(index, &|point| point.train_rmse),
        validation_rmse: mean(index, &|point| point.validation_rmse),
    };
    first.iter().enumerate().map(point).collect()
}

/// The curve of a regressor over training rows: fitted to growing shares of them, evaluated on a validation fifth. Shares that are too
/// small for a fit are left out.
pub fn curve_over_rows(
    x: &Matrix,
    y: &[f64],
    parameters: &Parameters,
    transform: TargetTransform,
    seed: u64,
) -> Vec<CurvePoint> {
    if x.rows() < 2 * VALIDATION_FOLDS {
        return Vec::new();
    }
    // folds come from a shuffle, so the first training rows are a sample
    let fold = folds(x.rows(), VALIDATION_FOLDS, seed);
    let (validation_rows, training_rows): (Vec<usize>, Vec<usize>) = (0..x.rows()).partition(|row| fold[*row] == 0);
    let pick = |rows: &[usize]| -> (Matrix, Vec<f64>) { (x.select_rows(rows), rows.iter().map(|row| y[*row]).collect()) };
    let (validation_x, validation_y) = pick(&validation_rows);
    let point = |share: f64| -> Result<CurvePoint, FitError> {
        let rows = &training_rows[..((training_rows.len() as f64 * share) as usize).max(1)];
        let (subset_x, subset_y) = pick(rows);
        let regressor = fit(&subset_x, &subset_y, parameters, transform, seed)?;
        let transform = parameters.remaining_transform(transform);
        let rmse = |x: &Matrix, y: &[f64]| {
            let predicted = regressor.predict(x).into_iter().map(|y| transform.inverse(y));
            (predicted.zip(y).map(|(predicted, y)| (y - predicted).powi(2)).sum::<f64>() / y.len() as f64).sqrt()
        };
        Ok(CurvePoint {
            step: rows.len() as u32,
            train_rmse: rmse(&subset_x, &subset_y),
            validation_rmse: rmse(&validation_x, &validation_y),
        })
    };
    ROW_SHARES.into_iter().filter_map(|share| point(share).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::algorithm::Algorithm;
    use std::collections::BTreeMap;

    /// y = 3a − b with a little noise, over 200 rows.
    fn rows() -> (Matrix, Vec<f64>) {
        let mut rng = fastrand::Rng::with_seed(3);
        let a: Vec<f64> = (0..200).map(|_| rng.f64()).collect();
        let b: Vec<f64> = (0..200).map(|_| rng.f64()).collect();
        let y = a.iter().zip(&b).map(|(a, b)| 10.0 + 3.0 * a - b + 0.1 * rng.f64()).collect();
        (Matrix::new(vec![a, b]), y)
    }

    fn parameters(name: &str, values: &[(&str, serde_json::Value)]) -> Parameters {
        let values: BTreeMap<String, serde_json::Value> =
            values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Parameters::try_from_values(Algorithm::parse(name).unwrap(), &values).unwrap().0
    }

    #[test]
    fn the_last_point_over_trees_equals_the_regressor() {
        let (x, y) = rows();
        for name in ["GradientBoosting", "RandomForest"] {
            let parameters = parameters(name, &[("n_estimators", 60.into()), ("max_depth", 3.into())]);
            let regressor = fit(&x, &y, &parameters, TargetTransform::None, 1).unwrap();
            let curve = curve_over_trees(&regressor, TargetTransform::None, (&x, &y), (&x, &y)).unwrap();
            assert_eq!((curve.len(), curve[0].step, curve[39].step), (40, 1, 60));
            let predicted = regressor.predict(&x);
            let rmse = (predicted.iter().zip(&y).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / 200.0).sqrt();
            assert!((curve[39].train_rmse - rmse).abs() < 1e-9 && curve[39].train_rmse == curve[39].validation_rmse);
            assert!(curve[39].train_rmse < curve[0].train_rmse);
        }
    }

    #[test]
    fn a_curve_over_rows_falls_with_the_rows() {
        let (x, y) = rows();
        let curve = curve_over_rows(&x, &y, &parameters("Ridge", &[]), TargetTransform::Log, 1);
        assert_eq!(curve.iter().map(|point| point.step).collect::<Vec<_>>(), [8, 16, 32, 48, 72, 96, 128, 160]);
        assert!(curve[7].validation_rmse < curve[0].validation_rmse);
        let mean = mean_curve(&[curve.clone(), curve.clone()]);
        assert_eq!(mean, curve);
    }
}
