//! Histogram gradient boosting and forests. Pure: columns of numbers in, flat trees out.
//!
//! Every sum that a split is chosen by is one of whole numbers, so that the same rows give the same trees at any number of threads.

mod bins;
mod divide;
mod explainer;
mod fit;
mod forest;
mod grow;
mod histogram;
mod import;
mod limits;
mod loss;
mod outcomes;
mod parameters;
mod predict;
mod search;
mod shap;
mod shape;
mod split;
mod trees;

pub use explainer::Explainer;
pub use fit::{Boosted, fit};
pub use forest::{Forest, fit_forest};
pub use import::{CategoryCodes, ImportError, Imported};
pub use loss::Loss;
pub use outcomes::Outcomes;
pub use parameters::{EarlyStopping, FitError, Parameters};
pub use predict::Sum;
pub use trees::{MAX_CODE, MAX_FEATURES, Rule, Trees, View};
