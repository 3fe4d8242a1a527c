//! The models that a server has loaded: which one answers a request, how one is loaded, and the challenger in the background.

pub(crate) mod deployed;
pub(crate) mod load;
pub(crate) mod role;
pub(crate) mod shadow;
