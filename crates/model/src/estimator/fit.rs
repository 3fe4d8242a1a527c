//! Fits a regressor.

use crate::estimator::fit_error::FitError;
use boosting::{ForestParameters, fit as boost, fit_forest};
use rayon::prelude::*;

use crate::{
    estimator::{
        Ensemble, Member, Plain, Regressor,
        fit_error::FitError,
        linear::{Penalty, fit_linear},
        matrix::Matrix,
        svr::fit_kernel,
        target_transform::TargetTransform,
    },
    parameters::{Parameters, Part, algorithm::Algorithm, trees::TreeSettings},
};

/// Fits a regressor to training rows. `y` is in the target's own unit: `transform`
/// is done before the fit and is not undone in what the regressor predicts; a blend has those of its parts and predicts in the
/// target's unit. Rows may have [weights](Matrix::weights), which boosting alone takes. A missing value is NaN, which trees alone take.
///
/// # Errors
/// If a value is not finite, rows are too few, or the engine fails.
pub fn fit(
    x: &Matrix,
    y: &[f64],
    parameters: &Parameters,
    transform: TargetTransform,
    seed: u64,
) -> Result<Regressor, FitError> {
    if let Parameters::Blend(parts) = parameters {
        let member = |part: &Part| {
            let fitted = fit(x, y, &part.parameters, part.transform, part.seed)?;
            let regressor = Plain::of(fitted).map_err(FitError::Engine)?;
            Ok(Member { weight: part.weight, transform: part.transform, regressor })
        };
        return parts.par_iter().map(member).collect::<Result<_, FitError>>().map(Regressor::Blend);
    }
    let y: Vec<f64> = y.iter().map(|y| transform.forward(*y)).collect();
    check_finite(x, &y, parameters.takes_missing())?;
    if x.weights().is_some() && !parameters.takes_weights() {
        return Err(FitError::engine("rows have weights, which boosting alone takes"));
    }
    let linear = |penalty, standardize| fit_linear(x, &y, penalty, standardize).map(Regressor::Linear);
    match parameters {
        Parameters::LinearRegression => linear(Penalty::None, true),
        Parameters::Ridge { alpha, standardize } => linear(Penalty::Ridge { alpha: *alpha }, *standardize),
        Parameters::Lasso { alpha, max_iter, tol, standardize } => {
            linear(Penalty::Lasso { alpha: *alpha, max_iter: *max_iter, tol: *tol }, *standardize)
        }
        Parameters::ElasticNet { alpha, l1_ratio, max_iter, tol, standardize } => {
            let penalty = Penalty::ElasticNet { alpha: *alpha, l1_ratio: *l1_ratio, max_iter: *max_iter, tol: *tol };
            linear(penalty, *standardize)
        }
        Parameters::Svr(settings) => fit_kernel(x, &y, *settings).map(Regressor::Kernel),
        Parameters::Forest(settings) => grow_forest(x, &y, settings, seed),
        Parameters::Boosting(settings) => grow_boosted(x, &y, settings, seed),
        Parameters::Imported(imported) => Ok(Regressor::Trees(Ensemble {
            base: imported.sum.base,
            factor: imported.sum.factor,
            log_link: imported.log_link,
            trees: imported.trees.clone(),
        })),
        Parameters::Blend(_) => Err(FitError::engine("a blend in a blend")),
    }
}

fn check_finite(x: &Matrix, y: &[f64], missing: bool) -> Result<(), FitError> {
    let fault =
        |values: &[f64], missing: bool| values.iter().position(|value| !(value.is_finite() || missing && value.is_nan()));
    if let Some(row) = fault(y, false) {
        return Err(FitError::NotFinite { column: "the target".into(), row: row + 1 });
    }
    for (index, column) in x.columns().iter().enumerate() {
        if let Some(row) = fault(column, missing) {
            return Err(FitError::NotFinite { column: format!("feature {index}"), row: row + 1 });
        }
    }
    Ok(())
}

fn grow_boosted(x: &Matrix, y: &[f64], settings: &TreeSettings, seed: u64) -> Result<Regressor, FitError> {
    let parameters = settings.of_size(x.rows(), x.width(), seed);
    let fitted = boost(x.columns(), y, x.weights(), &parameters).map_err(FitError::engine)?;
    let log_link = parameters.loss.has_log_link();
    Ok(Regressor::Trees(Ensemble { base: fitted.base, factor: 1.0, log_link, trees: fitted.trees }))
}

fn grow_forest(x: &Matrix, y: &[f64], settings: &TreeSettings, seed: u64) -> Result<Regressor, FitError> {
    let forest = ForestParameters {
        tree: settings.of_size(x.rows(), x.width(), seed),
        bootstrap: settings.bootstrap,
        random_thresholds: settings.algorithm == Algorithm::ExtraTrees,
    };
    let trees = fit_forest(x.columns(), y, &forest).map_err(FitError::engine)?;
    Ok(Regressor::Trees(Ensemble { base: 0.0, factor: 1.0 / trees.len() as f64, log_link: false, trees }))
}
