//! Regressors and how good they are. Pure: features and target in, a [`Model`] and figures out.
//!
//! `boosting` grows trees; smartcore fits the rest. What is found stands in flat, checkable arrays ([`Regressor`]), so that a stored model
//! needs no smartcore to predict and no decoder to recurse.

mod algorithm;
mod blend;
mod bootstrap;
mod candidates;
mod config;
mod contributions;
mod cross_validation;
mod defaults;
mod evidence;
mod figure;
mod fit;
mod gate;
mod importance;
mod imported;
mod interval;
mod kernel;
mod learning_curve;
mod linear;
mod matrix;
mod max_features;
mod metrics;
mod moments;
mod older;
mod parameter_reader;
mod parameters;
mod regressor;
mod search;
mod stored;
mod tree_parameters;

pub use algorithm::Algorithm;
pub use blend::{Gain, blended_held_out, greedy_weights};
pub use boosting::{ImportError, Imported, Rule, Trees, View};
pub use bootstrap::{BootstrapInterval, Paired, bootstrap_intervals, paired_bootstrap};
pub use config::{BlendPart, CrossValidationSection, IntervalSection, ModelConfig, ModelSection, TargetTransform};
pub use contributions::{Contributions, Explainer};
pub use cross_validation::{CrossValidation, cross_validate, folds};
pub use evidence::{COPIED_ROWS, Rows, Suspicion, wants_log};
pub use figure::{figure, figure_with, label, more_decimals};
pub use fit::{FitError, fit};
pub use gate::{Decision, decide};
pub use importance::{Importance, permutation_importance};
pub use imported::place_imported;
pub use interval::Conformal;
pub use kernel::{Kernel, KernelSettings};
pub use learning_curve::{CurvePoint, curve_over_rows, mean_curve};
pub use matrix::Matrix;
pub use max_features::MaxFeatures;
pub use metrics::{METRIC_NAMES, Metrics};
pub use moments::{mean_and_deviation, median};
pub use older::ModelFileV1;
pub use parameters::{Parameters, Part};
pub use regressor::{Ensemble, Linear, Member, Plain, Regressor};
pub use search::{Candidate, MAX_MINUTES, SearchConfig, SearchSection, Trial};
pub use stored::{MODEL, Model, ModelFault, ModelFile};
pub use tree_parameters::TreeSettings;

/// The seed where the configuration has none.
pub const DEFAULT_SEED: u64 = 42;
