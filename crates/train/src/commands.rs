//! The subcommands beside the stage.

pub(crate) mod parquet_table;
pub(crate) mod predict;
pub(crate) mod promote;
pub(crate) mod relocate;
pub(crate) mod rollback;
pub(crate) mod runs;
pub(crate) mod sync;
pub(crate) mod versions;
