//! What a training reads: the files that `engineer` wrote, and the stages that came before. Imported by the stage and the search.

pub(crate) mod engineer_outputs;
pub(crate) mod featured_table;
pub(crate) mod lineage;
pub(crate) mod stage_inputs;
