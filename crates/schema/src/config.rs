//! `pipeline.yaml`: a section for each stage, and where in the text a value stands.

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
