//! The models of a server: routing between them, loading, and the challenger in the background.

pub(crate) mod deployed;
pub(crate) mod load;
pub(crate) mod role;
pub(crate) mod shadow;
