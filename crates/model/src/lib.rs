//! Regressors and how good they are. Pure: features and target in, a [`Model`] and figures out.
//!
//! `boosting` grows trees; smartcore fits the rest. What is found stands in flat, checkable arrays ([`Regressor`]), so that a stored model
//! needs no smartcore to predict and no decoder to recurse.

mod config;
mod conformal;
mod estimator;
mod evaluation;
mod explanation;
mod imported;
mod parameters;
mod storage;

pub use boosting::{ImportError, ImportedModel, NodeView, SplitCondition, Trees};
pub use config::model_config::{BlendPart, CrossValidationSection, IntervalSection, ModelConfig, ModelSection};
pub use config::{
    candidate::{Candidate, Trial},
    search_config::{MAX_MINUTES, SearchConfig, SearchSection},
};
pub use conformal::Conformal;
pub use estimator::blend::{Gain, blended_held_out, greedy_weights};
pub use estimator::matrix::Matrix;
pub use estimator::statistics::{mean_and_deviation, median};
pub use estimator::svr::{Kernel, KernelSettings};
pub use estimator::target_transform::TargetTransform;
pub use estimator::{Ensemble, Member, Plain, Regressor, linear::Linear};
pub use estimator::{fit::fit, fit_error::FitError};
pub use evaluation::bootstrap::{BootstrapInterval, Paired, bootstrap_intervals, paired_bootstrap};
pub use evaluation::leakage::{COPIED_ROWS, Rows, Suspicion, wants_log};
pub use evaluation::learning_curve::{CurvePoint, curve_over_rows, mean_curve};
pub use evaluation::metric_format::{figure, figure_with, label, more_decimals};
pub use evaluation::metrics::{METRIC_NAMES, Metrics};
pub use evaluation::thresholds::{Decision, decide};
pub use evaluation::{
    cross_validation::{CrossValidation, cross_validate},
    folds::folds,
};
pub use explanation::contributions::{Contributions, Explainer};
pub use explanation::permutation_importance::{Importance, permutation_importance};
pub use imported::place_imported;
pub use parameters::algorithm::Algorithm;
pub use parameters::max_features::MaxFeatures;
pub use parameters::trees::TreeSettings;
pub use parameters::{Parameters, Part};
pub use storage::model_file::{MODEL, Model, ModelFault, ModelFile};
pub use storage::model_file_v1::ModelFileV1;

/// The seed where the configuration has none.
pub const DEFAULT_SEED: u64 = 42;
