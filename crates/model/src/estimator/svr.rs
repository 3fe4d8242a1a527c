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

/// A fitted support vector machine: `bias + Σ weight · exp(−γ ‖z − vector‖²)`, where `z` are the standardised features. The result is in
/// units of the target's standard deviation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SvrModel {
    /// Mean of each feature over training rows.
    pub means: Vec<f64>,
    /// Standard deviation of each feature over training rows; 1 for a constant.
    pub scales: Vec<f64>,
    /// γ.
    pub gamma: f64,
    /// The support vectors, one after the other, standardised.
    pub vectors: Vec<f64>,
    /// Weight of each support vector.
    pub weights: Vec<f64>,
    /// The prediction far from all support vectors.
    pub bias: f64,
}

/// Parameters of a support vector machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SvrSettings {
    /// Penalty of errors above `epsilon`, in standard deviations of the target.
    pub c: f64,
    /// Errors up to this size have no penalty, in standard deviations of the target.
    pub epsilon: f64,
    /// Inverse width of the kernel. `None`: 1 / number of features, which is scikit-learn's `scale` for standardised features.
    pub gamma: Option<f64>,
}

impl SvrModel {
    pub(crate) fn validate(&self, width: usize) -> Result<(), String> {
        if self.means.len() != width || self.scales.len() != width || self.vectors.len() != width * self.weights.len() {
            return Err("the support vectors do not match the features".into());
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

/// Private fields of smartcore's machine, read from its serialised form.
#[derive(Deserialize)]
struct Machine {
    instances: Option<Vec<Vec<f64>>>,
    w: Option<Vec<f64>>,
    b: f64,
}

/// Fits with smartcore's solver to standardised features and target.
pub(crate) fn fit_svr(x: &Matrix, y: &[f64], settings: SvrSettings) -> Result<SvrModel, FitError> {
    let (y_mean, y_scale) = mean_and_deviation(y);
    let moments: Vec<(f64, f64)> = x.columns().iter().map(|column| mean_and_deviation(column)).collect();
    let scales: Vec<f64> = moments
        .iter()
        .map(|(mean, deviation)| if *deviation <= 1e-12 * mean.abs().max(1e-300) { 1.0 } else { *deviation })
        .collect();
    let means: Vec<f64> = moments.iter().map(|(mean, _)| *mean).collect();
    let gamma = settings.gamma.unwrap_or(1.0 / x.width().max(1) as f64);
    let empty = SvrModel { means, scales, gamma, vectors: Vec::new(), weights: Vec::new(), bias: y_mean };
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
    let model = SvrModel {
        vectors: vectors.concat(),
        weights: weights.into_iter().map(|weight| weight * y_scale).collect(),
        bias: y_mean + fields.b * y_scale,
        ..empty
    };
    model.validate(x.width()).map_err(FitError::Engine)?;
    let expected = machine.predict(&z).map_err(FitError::engine)?;
    let predictions = x.map_rows(|row| model.predict_row(row));
    for (row, (prediction, expected)) in predictions.iter().zip(expected).enumerate() {
        let expected = y_mean + expected * y_scale;
        if (prediction - expected).abs() > 1e-6 * y_scale.max(expected.abs()) {
            return Err(FitError::Engine(format!(
                "the copied model predicts {prediction} for row {row}, smartcore's {expected}"
            )));
        }
    }
    Ok(model)
}
