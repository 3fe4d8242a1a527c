//! The subcommands besides the server.

pub(crate) mod check;
pub(crate) mod healthcheck;
pub(crate) mod predict;
