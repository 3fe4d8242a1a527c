//! The arguments as typed.

use std::path::PathBuf;

use clap::Parser;
use cli::GlobalArgs;

/// Turn a cleaned table into features: derive, impute, encode. What that needs is learned from training rows and kept in the
/// preprocessor, which predictions go through as well
#[derive(Debug, Parser)]
#[command(name = "engineer", version)]
pub struct Args {
    /// The cleaned table that `process` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// The featured table to write, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// The preprocessor to write; beside it goes <FILE>.reference.json (in place of .bin), which says what training rows look like
    #[arg(long, value_name = "FILE")]
    pub(crate) preprocessor: PathBuf,

    /// The table's schema and the stages' settings
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl Args {
    /// The flags that all programs take.
    pub fn global(&self) -> &GlobalArgs {
        &self.global
    }
}
