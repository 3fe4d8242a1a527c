//! How good a model is: metrics, folds, intervals of metrics, thresholds, leakage.

pub(crate) mod bootstrap;
pub(crate) mod cross_validation;
pub(crate) mod folds;
pub(crate) mod leakage;
pub(crate) mod learning_curve;
pub(crate) mod metric_format;
pub(crate) mod metrics;
pub(crate) mod thresholds;
