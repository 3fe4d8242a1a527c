//! Evaluation of models: metrics and their intervals, folds, thresholds, leakage, split shift. The folder uses `estimator` and
//! `parameters`.

pub(crate) mod bootstrap;
pub(crate) mod cross_validation;
pub(crate) mod folds;
pub(crate) mod leakage;
pub(crate) mod learning_curve;
pub(crate) mod log_target;
pub(crate) mod metric_format;
pub(crate) mod metrics;
pub(crate) mod split_data;
pub(crate) mod split_shift;
pub(crate) mod thresholds;
