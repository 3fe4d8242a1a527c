//! Why a model predicts what it does: contributions and permutation importance.

pub(crate) mod contributions;
pub(crate) mod permutation_importance;
