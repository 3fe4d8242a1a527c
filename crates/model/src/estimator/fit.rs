//! The fit of a regressor.

use crate::estimator::fit_error::FitError;
use boosting::{ForestParameters, fit as boost, fit_forest};
use rayon::prelude::*;

use crate::{
    estimator::{
        BlendMember, BlendMemberModel, Ensemble, Regressor,
        linear::{Penalty, fit_linear},
        matrix::Matrix,
        svr::fit_svr,
        target_transform::TargetTransform,
    },
    parameters::{BlendPartParameters, Parameters, algorithm::Algorithm, trees::TreeSettings},
};

/// Fits a regressor to training rows. `y` is in the target's own unit; `transform` is applied before the fit and not inverted in the
/// regressor's predictions. A blend uses the transforms of its parts and predicts in the target's unit. Only boosting accepts
/// [weights](Matrix::weights), and only trees accept missing values (NaN).
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
        let member = |part: &BlendPartParameters| {
            let fitted = fit(x, y, &part.parameters, part.transform, part.seed)?;
            let regressor = BlendMemberModel::try_from_regressor(fitted).map_err(FitError::Engine)?;
            Ok(BlendMember { weight: part.weight, transform: part.transform, regressor })
        };
        return parts.par_iter().map(member).collect::<Result<_, FitError>>().map(Regressor::Blend);
    }
    let y: Vec<f64> = y.iter().map(|y| transform.forward(*y)).collect();
    check_finite(x, &y, parameters.accepts_missing())?;
    if x.weights().is_some() && !parameters.accepts_weights() {
        return Err(FitError::engine("only boosting accepts row weights"));
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
        Parameters::Svr(settings) => fit_svr(x, &y, *settings).map(Regressor::Svr),
        Parameters::Forest(settings) => fit_random_forest(x, &y, settings, seed),
        Parameters::Boosting(settings) => fit_boosting(x, &y, settings, seed),
        Parameters::Imported(imported) => Ok(Regressor::Trees(Ensemble {
            base: imported.sum.base,
            factor: imported.sum.factor,
            log_link: imported.log_link,
            trees: imported.trees.clone(),
        })),
        Parameters::Blend(_) => Err(FitError::engine("a blend cannot be part of a blend")),
    }
}

fn check_finite(x: &Matrix, y: &[f64], missing: bool) -> Result<(), FitError> {
    let first_invalid =
        |values: &[f64], missing: bool| values.iter().position(|value| !(value.is_finite() || missing && value.is_nan()));
    if let Some(row) = first_invalid(y, false) {
        return Err(FitError::NotFinite { column: "the target".into(), row: row + 1 });
    }
    for (index, column) in x.columns().iter().enumerate() {
        if let Some(row) = first_invalid(column, missing) {
            return Err(FitError::NotFinite { column: format!("feature {index}"), row: row + 1 });
        }
    }
    Ok(())
}

fn fit_boosting(x: &Matrix, y: &[f64], settings: &TreeSettings, seed: u64) -> Result<Regressor, FitError> {
    let parameters = settings.for_table(x.rows(), x.width(), seed);
    let model = boost(x.columns(), y, x.weights(), &parameters).map_err(FitError::engine)?;
    let log_link = parameters.loss.has_log_link();
    Ok(Regressor::Trees(Ensemble { base: model.base, factor: 1.0, log_link, trees: model.trees }))
}

fn fit_random_forest(x: &Matrix, y: &[f64], settings: &TreeSettings, seed: u64) -> Result<Regressor, FitError> {
    let forest = ForestParameters {
        tree: settings.for_table(x.rows(), x.width(), seed),
        bootstrap: settings.bootstrap,
        random_thresholds: settings.algorithm == Algorithm::ExtraTrees,
    };
    let trees = fit_forest(x.columns(), y, &forest).map_err(FitError::engine)?;
    Ok(Regressor::Trees(Ensemble { base: 0.0, factor: 1.0 / trees.len() as f64, log_link: false, trees }))
}
