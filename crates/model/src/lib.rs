//! Regressors and how good they are. Pure: features and target in, a [`Model`] and figures out.
//!
//! smartcore does the fitting; what it finds is copied into flat, checkable arrays ([`Regressor`]), so that a stored model needs no
//! smartcore to predict and no decoder to recurse.

mod bootstrap;
mod config;
mod cross_validation;
mod fit;
mod gate;
mod importance;
mod learning_curve;
mod linear;
mod matrix;
mod metrics;
mod moments;
mod parameter_reader;
mod parameters;
mod regressor;
mod smartcore_trees;
mod stored;
mod trees;

pub use bootstrap::{BootstrapInterval, Paired, bootstrap_intervals, paired_bootstrap};
pub use config::{CrossValidationSection, ModelConfig, ModelSection, TargetTransform};
pub use cross_validation::{CrossValidation, cross_validate, folds};
pub use fit::{FitError, fit};
pub use gate::{Decision, decide};
pub use importance::{Importance, permutation_importance};
pub use learning_curve::{CurvePoint, curve_over_rows, mean_curve};
pub use matrix::Matrix;
pub use metrics::{METRIC_NAMES, Metrics};
pub use moments::{mean_and_deviation, median};
pub use parameters::{Algorithm, MaxFeatures, Parameters};
pub use regressor::{Linear, Regressor};
pub use stored::{MODEL, Model, ModelFault, ModelFile};
pub use trees::Trees;

/// The seed where the configuration has none.
pub const DEFAULT_SEED: u64 = 42;
