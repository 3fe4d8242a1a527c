//! Command line arguments.

use std::path::PathBuf;

use clap::Parser;
use cli::GlobalArgs;

/// Compute features of a cleaned table: derive, impute, encode. The preprocessor is fitted on training rows and is used for predictions,
/// too
#[derive(Debug, Parser)]
#[command(name = "engineer", version)]
pub struct Args {
    /// The cleaned table of `process`
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// The featured table to write, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// The preprocessor to write. FILE.reference.json (instead of .bin), the distributions of the training rows, is written beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) preprocessor: PathBuf,

    /// Schema of the table and settings of the stages
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl Args {
    /// Flags of all programs.
    pub fn global(&self) -> &GlobalArgs {
        &self.global
    }
}
