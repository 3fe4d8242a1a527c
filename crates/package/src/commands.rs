//! The subcommands besides the stage.

pub(crate) mod verify;
