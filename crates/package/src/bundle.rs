//! The bundle, and the lineage of its inputs.

pub(crate) mod assemble;
pub(crate) mod lineage;
pub(crate) mod trained_model;
