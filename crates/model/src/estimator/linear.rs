//! Linear regressors, fitted with smartcore.
//!
//! Columns are centred, and scaled by their standard deviation where the algorithm needs it. A constant column gets the coefficient 0.

use serde::{Deserialize, Serialize};
use smartcore::{
    linalg::basic::{arrays::Array, matrix::DenseMatrix},
    linear::{
        elastic_net::{ElasticNet, ElasticNetParameters},
        lasso::{Lasso, LassoParameters},
        linear_regression::{LinearRegression, LinearRegressionParameters, LinearRegressionSolverName},
        ridge_regression::{RidgeRegression, RidgeRegressionParameters, RidgeRegressionSolverName},
    },
};

use crate::estimator::{fit_error::FitError, matrix::Matrix, statistics::mean_and_deviation};

/// The penalty of a linear fit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Penalty {
    None,
    Ridge { alpha: f64 },
    Lasso { alpha: f64, max_iter: usize, tol: f64 },
    ElasticNet { alpha: f64, l1_ratio: f64, max_iter: usize, tol: f64 },
}

/// A column after centring and scaling.
struct ScaledColumn {
    index: usize,
    mean: f64,
    scale: f64,
}

/// Fits a linear function.
pub(crate) fn fit_linear(x: &Matrix, y: &[f64], penalty: Penalty, standardize: bool) -> Result<Linear, FitError> {
    // the target is standardised, so that a tolerance means the same for any target
    let (y_mean, y_scale) = mean_and_deviation(y);
    let mut kept: Vec<ScaledColumn> = Vec::new();
    let mut cells: Vec<f64> = Vec::new();
    for (index, column) in x.columns().iter().enumerate() {
        let (mean, deviation) = mean_and_deviation(column);
        if deviation <= 1e-12 * mean.abs().max(1e-300) {
            continue;
        }
        let scale = if standardize { deviation } else { 1.0 };
        cells.extend(column.iter().map(|value| (value - mean) / scale));
        kept.push(ScaledColumn { index, mean, scale });
    }
    let mut linear = Linear { intercept: y_mean, coefficients: vec![0.0; x.width()] };
    if kept.is_empty() {
        return Ok(linear);
    }
    if x.rows() <= kept.len() {
        return Err(FitError::TooFewRows { rows: x.rows(), needed: kept.len() + 1 });
    }
    if y_scale == 0.0 {
        return Ok(linear);
    }
    let matrix = DenseMatrix::new(x.rows(), kept.len(), cells, true).map_err(FitError::engine)?;
    let target: Vec<f64> = y.iter().map(|value| (value - y_mean) / y_scale).collect();
    let weights = weights(&matrix, &target, penalty, y_scale)?;
    for (column, weight) in kept.iter().zip(weights) {
        let coefficient = weight * y_scale / column.scale;
        linear.coefficients[column.index] = coefficient;
        linear.intercept -= coefficient * column.mean;
    }
    Ok(linear)
}

fn weights(x: &DenseMatrix<f64>, y: &Vec<f64>, penalty: Penalty, y_scale: f64) -> Result<Vec<f64>, FitError> {
    let to_vec = |coefficients: &DenseMatrix<f64>| coefficients.iterator(0).copied().collect();
    match penalty {
        Penalty::None => {
            // singular value decomposition, because one-hot columns are linearly dependent
            let parameters = LinearRegressionParameters::default().with_solver(LinearRegressionSolverName::SVD);
            LinearRegression::fit(x, y, parameters).map(|model| to_vec(model.coefficients())).map_err(FitError::engine)
        }
        Penalty::Ridge { alpha } => {
            let parameters = RidgeRegressionParameters::default()
                .with_alpha(alpha)
                .with_normalize(false)
                .with_solver(RidgeRegressionSolverName::Cholesky);
            RidgeRegression::fit(x, y, parameters).map(|model| to_vec(model.coefficients())).map_err(FitError::engine)
        }
        Penalty::Lasso { alpha, max_iter, tol } => {
            // smartcore minimises ‖y − Xw‖² + nα‖w‖₁: twice scikit-learn's α
            let parameters = LassoParameters::default()
                .with_alpha(2.0 * alpha / y_scale)
                .with_normalize(false)
                .with_max_iter(max_iter)
                .with_tol(tol);
            Lasso::fit(x, y, parameters).map(|model| to_vec(model.coefficients())).map_err(FitError::engine)
        }
        Penalty::ElasticNet { alpha, l1_ratio, max_iter, tol } => {
            let (l1, l2) = (2.0 * alpha * l1_ratio / y_scale, alpha * (1.0 - l1_ratio));
            let total = (l1 + l2).max(f64::MIN_POSITIVE);
            let parameters = ElasticNetParameters::default()
                .with_alpha(total)
                .with_l1_ratio(l1 / total)
                .with_normalize(false)
                .with_max_iter(max_iter)
                .with_tol(tol);
            ElasticNet::fit(x, y, parameters).map(|model| to_vec(model.coefficients())).map_err(FitError::engine)
        }
    }
}

/// A linear function of the features in the order of the feature file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Linear {
    /// The prediction if all features are 0.
    pub intercept: f64,
    /// Change of the prediction per unit of each feature.
    pub coefficients: Vec<f64>,
}

impl Linear {
    pub(crate) fn validate(&self, width: usize) -> Result<(), String> {
        if self.coefficients.len() != width {
            return Err(format!("{} coefficients for {width} features", self.coefficients.len()));
        }
        let finite = self.coefficients.iter().chain([&self.intercept]).all(|value| value.is_finite());
        if finite { Ok(()) } else { Err("a coefficient is not a number".into()) }
    }

    /// The prediction for one row of features.
    pub(crate) fn predict_row(&self, row: &[f64]) -> f64 {
        self.intercept + self.coefficients.iter().zip(row).map(|(coefficient, value)| coefficient * value).sum::<f64>()
    }
}
