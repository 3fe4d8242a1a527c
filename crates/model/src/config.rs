//! Configuration files of a model and of a search.

pub(crate) mod candidate;
pub(crate) mod default_candidates;
pub(crate) mod model_config;
pub(crate) mod search_config;
