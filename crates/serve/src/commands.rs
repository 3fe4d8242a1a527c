//! The subcommands beside the server.

pub(crate) mod check;
pub(crate) mod healthcheck;
