//! Explains predictions: exact SHAP values of trees. It uses `tree`, and nothing of the fit.

pub(crate) mod explainer;
pub(crate) mod tree_shap;
