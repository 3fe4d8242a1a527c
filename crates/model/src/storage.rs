//! The file of a model, and those of older versions.

pub(crate) mod model_file;
pub(crate) mod model_file_v1;
