//! Fitted trees: storage and traversal.

pub(crate) mod ensemble;
pub(crate) mod quick_scorer;
pub(crate) mod traversal;
