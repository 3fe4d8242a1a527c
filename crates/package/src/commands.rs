//! The subcommands beside the stage.

pub(crate) mod verify;
