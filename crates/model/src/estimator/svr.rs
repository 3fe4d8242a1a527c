//! Support vector regression with a radial kernel.

use serde::{Deserialize, Serialize};
use smartcore::{
    linalg::basic::matrix::DenseMatrix,
    svm::{
        Kernels,
        svr::{SVR, SVRParameters},
    },
};

use crate::estimator::{fit_error::FitError, matrix::Matrix, statistics::mean_and_deviation};

/// `bias + Σ weight · exp(−γ ‖z − vector‖²)`, where `z` are the features, standardised; in units of the target's deviation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Kernel {
    /// Per feature the mean of training rows.
    pub means: Vec<f64>,
    /// Per feature what it is divided by: their standard deviation, 1 for a constant.
    pub scales: Vec<f64>,
    /// γ.
    pub gamma: f64,
    /// The support vectors, one after the other, standardised.
    pub vectors: Vec<f64>,
    /// A weight a support vector.
    pub weights: Vec<f64>,
    /// What is predicted far from all of them.
    pub bias: f64,
}

/// Settings of a fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelSettings {
    /// The price of an error beyond `epsilon`, in deviations of the target.
    pub c: f64,
    /// Errors up to this cost nothing, in deviations of the target.
    pub epsilon: f64,
    /// `None`: one over the number of features, as scikit-learn's `scale` for standardised features.
    pub gamma: Option<f64>,
}

impl Kernel {
    pub(crate) fn check(&self, width: usize) -> Result<(), String> {
        if self.means.len() != width || self.scales.len() != width || self.vectors.len() != width * self.weights.len() {
            return Err("the support vectors do not fit the features".into());
        }
        let numbers = [&self.means, &self.scales, &self.vectors, &self.weights];
        let finite = numbers.into_iter().flatten().chain([&self.gamma, &self.bias]).all(|value| value.is_finite());
        if finite && !self.scales.contains(&0.0) { Ok(()) } else { Err("a support vector is not a number".into()) }
    }

    pub(crate) fn predict_row(&self, row: &[f64]) -> f64 {
        let cells = row.iter().zip(&self.means).zip(&self.scales);
        let z: Vec<f64> = cells.map(|((value, mean), scale)| (value - mean) / scale).collect();
        let mut sum = self.bias;
        for (vector, weight) in self.vectors.chunks_exact(z.len().max(1)).zip(&self.weights) {
            let distance: f64 = vector.iter().zip(&z).map(|(a, b)| (a - b) * (a - b)).sum();
            sum += weight * (-self.gamma * distance).exp();
        }
        sum
    }
}

/// The fields of smartcore's machine, which are private: through their serialised form.
#[derive(Deserialize)]
struct Machine {
    instances: Option<Vec<Vec<f64>>>,
    w: Option<Vec<f64>>,
    b: f64,
}

/// Fits with smartcore's solver, to standardised features and target.
pub(crate) fn fit_kernel(x: &Matrix, y: &[f64], settings: KernelSettings) -> Result<Kernel, FitError> {
    let (y_mean, y_scale) = mean_and_deviation(y);
    let moments: Vec<(f64, f64)> = x.columns().iter().map(|column| mean_and_deviation(column)).collect();
    let scales: Vec<f64> = moments
        .iter()
        .map(|(mean, deviation)| if *deviation <= 1e-12 * mean.abs().max(1e-300) { 1.0 } else { *deviation })
        .collect();
    let means: Vec<f64> = moments.iter().map(|(mean, _)| *mean).collect();
    let gamma = settings.gamma.unwrap_or(1.0 / x.width().max(1) as f64);
    let empty = Kernel { means, scales, gamma, vectors: Vec::new(), weights: Vec::new(), bias: y_mean };
    if y_scale == 0.0 || x.width() == 0 {
        return Ok(empty);
    }
    let cells = x.columns().iter().zip(empty.means.iter().zip(&empty.scales));
    let z: Vec<f64> =
        cells.flat_map(|(column, (mean, scale))| column.iter().map(move |value| (value - mean) / scale)).collect();
    let z = DenseMatrix::new(x.rows(), x.width(), z, true).map_err(FitError::engine)?;
    let target: Vec<f64> = y.iter().map(|value| (value - y_mean) / y_scale).collect();
    let parameters =
        SVRParameters::default().with_c(settings.c).with_eps(settings.epsilon).with_kernel(Kernels::rbf().with_gamma(gamma));
    let machine = SVR::fit(&z, &target, &parameters).map_err(FitError::engine)?;
    let fields = serde_json::to_value(&machine).and_then(serde_json::from_value::<Machine>).map_err(FitError::engine)?;
    let (vectors, weights) = (fields.instances.unwrap_or_default(), fields.w.unwrap_or_default());
    let kernel = Kernel {
        vectors: vectors.concat(),
        weights: weights.into_iter().map(|weight| weight * y_scale).collect(),
        bias: y_mean + fields.b * y_scale,
        ..empty
    };
    kernel.check(x.width()).map_err(FitError::Engine)?;
    let expected = machine.predict(&z).map_err(FitError::engine)?;
    let found = x.map_rows(|row| kernel.predict_row(row));
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let expected = y_mean + expected * y_scale;
        if (found - expected).abs() > 1e-6 * y_scale.max(expected.abs()) {
            return Err(FitError::Engine(format!(
                "the copied model predicts {found} for row {row}, the original {expected}"
            )));
        }
    }
    Ok(kernel)
}
