//! Histogram gradient boosting and forests. Pure: columns of numbers in, flat trees out.
//!
//! Splits are chosen by sums of integers, so the same rows give the same trees at any number of threads.

mod binning;
mod boosting;
mod early_stopper;
mod explanation;
mod forest;
mod grower;
mod import;
mod loss;
mod parameters;
mod tree;

pub use boosting::{BoostedTrees, fit};
pub use explanation::explainer::TreeExplainer;
pub use forest::{ForestParameters, fit_forest};
pub use import::{CategoryCodes, ImportError, ImportedModel};
pub use loss::Loss;
pub use parameters::{BoostingError, BoostingParameters, EarlyStopping};
pub use tree::ensemble::{MAX_CODE, MAX_FEATURES, NodeView, SplitCondition, Trees};
pub use tree::quick_scorer::QuickScorer;
pub use tree::traversal::EnsembleOutput;
