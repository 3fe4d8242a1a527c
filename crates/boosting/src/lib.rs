//! Histogram gradient boosting and forests. Pure: columns of numbers in, flat trees out.
//!
//! Every sum that a split is chosen by is one of whole numbers, so that the same rows give the same trees at any number of threads.

mod binning;
mod boosting;
mod explanation;
mod forest;
mod grower;
mod import;
mod loss;
mod parameters;
mod tree;

pub use boosting::{Boosted, fit};
pub use explanation::explainer::Explainer;
pub use forest::{Forest, fit_forest};
pub use import::{CategoryCodes, ImportError, Imported};
pub use loss::Loss;
pub use parameters::{EarlyStopping, FitError, Parameters};
pub use tree::ensemble::{MAX_CODE, MAX_FEATURES, Rule, Trees, View};
pub use tree::quick_scorer::Outcomes;
pub use tree::traversal::Sum;
