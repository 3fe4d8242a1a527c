//! The file `pipeline.yaml`: one section per stage, and locations of values in its text. `cell` and `column` use the folder.

pub(crate) mod bounded_list;
pub(crate) mod engineer;
pub(crate) mod error;
pub(crate) mod location;
pub(crate) mod ordered_map;
pub(crate) mod package;
pub(crate) mod pipeline;
pub(crate) mod process;
pub(crate) mod reference;
pub(crate) mod yaml;
