//! Model files of the current and of older versions.

pub(crate) mod model_file;
pub(crate) mod model_file_v1;
