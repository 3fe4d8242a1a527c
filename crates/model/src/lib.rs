//! Regressors, their evaluation and explanation. Pure: features and target in, a [`Model`] and metrics out.
//!
//! `boosting` fits trees, and smartcore fits the other algorithms. Fitted values are kept in flat arrays that are validated
//! ([`Regressor`]). A stored model therefore needs neither smartcore nor a recursive decoder.

mod config;
mod conformal;
mod estimator;
mod evaluation;
mod explanation;
mod import_mapping;
mod parameters;
mod storage;

pub use boosting::{ImportError, ImportedModel, NodeView, SplitCondition, Trees};
pub use config::model_config::{BlendPart, CrossValidationSection, IntervalSection, ModelConfig, ModelSection};
pub use config::{
    candidate::{Candidate, Trial},
    search_config::{MAX_MINUTES, SearchConfig, SearchSection},
};
pub use conformal::Conformal;
pub use estimator::blend::{BlendGain, greedy_weights, out_of_fold_blend};
pub use estimator::matrix::Matrix;
pub use estimator::statistics::{mean_and_deviation, median};
pub use estimator::svr::{SvrModel, SvrSettings};
pub use estimator::target_transform::TargetTransform;
pub use estimator::{BlendMember, BlendMemberModel, Ensemble, Regressor, linear::Linear};
pub use estimator::{fit::fit, fit_error::FitError};
pub use evaluation::bootstrap::{BootstrapInterval, PairedComparison, bootstrap_intervals, paired_bootstrap};
pub use evaluation::leakage::{DUPLICATE_ROWS, LeakageFinding};
pub use evaluation::learning_curve::{CurvePoint, curve_over_rows, mean_curve};
pub use evaluation::log_target::recommends_log_target;
pub use evaluation::metric_format::{extra_decimals, format_metric, format_metric_with, metric_label};
pub use evaluation::metrics::{METRIC_NAMES, Metrics};
pub use evaluation::split_data::SplitData;
pub use evaluation::thresholds::{ThresholdResult, check_thresholds};
pub use evaluation::{
    cross_validation::{CrossValidation, cross_validate},
    folds::folds,
};
pub use explanation::contributions::{Contributions, Explainer};
pub use explanation::permutation_importance::{Importance, permutation_importance};
pub use import_mapping::map_imported_model;
pub use parameters::algorithm::Algorithm;
pub use parameters::max_features::MaxFeatures;
pub use parameters::trees::TreeSettings;
pub use parameters::{BlendPartParameters, Parameters};
pub use storage::model_file::{InvalidModel, MODEL, Model, ModelFile};
pub use storage::model_file_v1::ModelFileV1;

/// The seed if the configuration has none.
pub const DEFAULT_SEED: u64 = 42;
