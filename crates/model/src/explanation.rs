//! Explanation of models: contributions of features and permutation importance.

pub(crate) mod contributions;
pub(crate) mod permutation_importance;
