//! Exact SHAP values of trees. The folder depends on `tree` only, not on fitting.

pub(crate) mod explainer;
pub(crate) mod tree_shap;
