//! Fitted trees: how they are stored, and how rows run through them.

pub(crate) mod ensemble;
pub(crate) mod quick_scorer;
pub(crate) mod traversal;
