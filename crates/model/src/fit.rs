//! Fits a regressor.

use rayon::prelude::*;
use smartcore::{
    ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters},
    linalg::basic::matrix::DenseMatrix,
    xgboost::{XGRegressor, XGRegressorParameters},
};
use thiserror::Error;

use crate::{
    Matrix, Parameters, Regressor, Trees,
    linear::{Penalty, fit_linear},
    smartcore_trees::{boosted_trees, forest_trees},
};

/// Trees of a forest that are grown together with one seed, so that the forest is the same at any number of threads.
const TREES_PER_GROUP: usize = 10;
/// Training rows on which a copied model is compared with the original.
const COMPARED_ROWS: usize = 100;

type Original<T> = Result<T, smartcore::error::Failed>;

/// Why a regressor could not be fitted.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum FitError {
    /// The algorithm needs more rows than there are.
    #[error(
        "{rows} training rows are too few: at least {needed} are needed for this many features. Use fewer features or another algorithm"
    )]
    TooFewRows {
        /// Rows at hand.
        rows: usize,
        /// Rows needed.
        needed: usize,
    },
    /// smartcore said no.
    #[error("the fit failed: {0}")]
    Engine(String),
    /// A feature or the target is not a finite number.
    #[error("{column} of training row {row} is not a finite number")]
    NotFinite {
        /// Which column.
        column: String,
        /// Which row, from 1.
        row: usize,
    },
}

impl FitError {
    pub(crate) fn engine(error: impl ToString) -> Self {
        Self::Engine(error.to_string())
    }
}

/// Fits a regressor to training rows. `y` is in the unit in which the regressor works (after a target transform).
///
/// # Errors
/// If a value is not finite, rows are too few, or the engine fails.
pub fn fit(x: &Matrix, y: &[f64], parameters: &Parameters, seed: u64) -> Result<Regressor, FitError> {
    check_finite(x, y)?;
    let linear = |penalty, standardize| fit_linear(x, y, penalty, standardize).map(Regressor::Linear);
    match *parameters {
        Parameters::LinearRegression => linear(Penalty::None, true),
        Parameters::Ridge { alpha, standardize } => linear(Penalty::Ridge { alpha }, standardize),
        Parameters::Lasso { alpha, max_iter, tol, standardize } => {
            linear(Penalty::Lasso { alpha, max_iter, tol }, standardize)
        }
        Parameters::ElasticNet { alpha, l1_ratio, max_iter, tol, standardize } => {
            linear(Penalty::ElasticNet { alpha, l1_ratio, max_iter, tol }, standardize)
        }
        Parameters::RandomForest { .. } => fit_forest(x, y, parameters, seed),
        Parameters::GradientBoosting { .. } => fit_boosting(x, y, parameters, seed),
    }
}

fn check_finite(x: &Matrix, y: &[f64]) -> Result<(), FitError> {
    let fault = |values: &[f64]| values.iter().position(|value| !value.is_finite());
    if let Some(row) = fault(y) {
        return Err(FitError::NotFinite { column: "the target".into(), row: row + 1 });
    }
    for (index, column) in x.columns().iter().enumerate() {
        if let Some(row) = fault(column) {
            return Err(FitError::NotFinite { column: format!("feature {index}"), row: row + 1 });
        }
    }
    Ok(())
}

fn dense(x: &Matrix) -> Result<DenseMatrix<f64>, FitError> {
    DenseMatrix::new(x.rows(), x.width(), x.columns().concat(), true).map_err(FitError::engine)
}

fn fit_boosting(x: &Matrix, y: &[f64], parameters: &Parameters, seed: u64) -> Result<Regressor, FitError> {
    let Parameters::GradientBoosting { n_estimators, max_depth, learning_rate, min_samples_leaf, subsample } = *parameters
    else {
        return Err(FitError::engine("not boosting"));
    };
    let base = y.iter().sum::<f64>() / y.len() as f64;
    let data = dense(x)?;
    let settings = XGRegressorParameters::default()
        .with_n_estimators(n_estimators)
        .with_max_depth(max_depth)
        .with_learning_rate(learning_rate)
        .with_min_child_weight(min_samples_leaf)
        .with_subsample(subsample)
        .with_lambda(0.0)
        .with_gamma(0.0)
        .with_base_score(base)
        .with_seed(seed);
    let original = XGRegressor::fit(&data, &y.to_vec(), settings).map_err(FitError::engine)?;
    let mut trees = boosted_trees(&original).map_err(FitError::Engine)?;
    trees.scale(learning_rate);
    let copy = Regressor::Boosted { base, trees };
    compare(x, &copy, |rows| original.predict(rows))?;
    Ok(copy)
}

fn fit_forest(x: &Matrix, y: &[f64], parameters: &Parameters, seed: u64) -> Result<Regressor, FitError> {
    let Parameters::RandomForest { n_estimators, max_depth, min_samples_leaf, min_samples_split, max_features } =
        *parameters
    else {
        return Err(FitError::engine("not a forest"));
    };
    let data = dense(x)?;
    let target = y.to_vec();
    let groups: Vec<usize> = (0..n_estimators).step_by(TREES_PER_GROUP).collect();
    let grow = |first: &usize| -> Result<Trees, FitError> {
        let mut settings = RandomForestRegressorParameters::default()
            .with_n_trees(TREES_PER_GROUP.min(n_estimators - first))
            .with_m(max_features.of(x.width()))
            .with_min_samples_leaf(min_samples_leaf)
            .with_min_samples_split(min_samples_split)
            .with_seed(seed.wrapping_add(*first as u64));
        if let Some(depth) = max_depth {
            settings = settings.with_max_depth(depth);
        }
        let original = RandomForestRegressor::fit(&data, &target, settings).map_err(FitError::engine)?;
        let trees = forest_trees(&original).map_err(FitError::Engine)?;
        if *first == 0 {
            compare(x, &Regressor::Forest { trees: trees.clone() }, |rows| original.predict(rows))?;
        }
        Ok(trees)
    };
    let grown = groups.par_iter().map(grow).collect::<Result<Vec<_>, _>>()?;
    let mut trees = Trees::default();
    grown.iter().for_each(|group| trees.append(group));
    Ok(Regressor::Forest { trees })
}

/// Makes sure that the copy of a model predicts what the original does, before the original is gone.
fn compare(
    x: &Matrix,
    copy: &Regressor,
    original: impl Fn(&DenseMatrix<f64>) -> Original<Vec<f64>>,
) -> Result<(), FitError> {
    let rows = x.select_rows(&(0..x.rows().min(COMPARED_ROWS)).collect::<Vec<_>>());
    let expected = original(&dense(&rows)?).map_err(FitError::engine)?;
    for (row, (found, expected)) in copy.predict(&rows).iter().zip(expected).enumerate() {
        if (found - expected).abs() > 1e-9 * expected.abs().max(1.0) {
            return Err(FitError::Engine(format!(
                "the copied model predicts {found} for row {row}, the original {expected}"
            )));
        }
    }
    Ok(())
}
