//! What a training reads: the outputs of `engineer`, and their lineage.

pub(crate) mod engineer_outputs;
pub(crate) mod featured_table;
pub(crate) mod lineage;
