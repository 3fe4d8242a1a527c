//! The bundle: what is assembled, and the lineage of its inputs.

pub(crate) mod lineage;
