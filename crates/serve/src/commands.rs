//! The subcommands besides the server.

pub(crate) mod check;
pub(crate) mod healthcheck;
