//! The page of a run, and its plots.

pub(crate) mod page;
pub(crate) mod plots;
