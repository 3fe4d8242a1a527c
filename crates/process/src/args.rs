//! The arguments as typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

/// Clean a raw table: check every cell against the schema, set aside what breaks it, drop duplicates, decide which rows are for
/// training and which for testing, and report on every row and column
#[derive(Debug, Parser)]
#[command(name = "process", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The raw table, .csv or .parquet
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) input: Option<PathBuf>,

    /// The cleaned table to write, .csv or .parquet; <FILE>.quarantine.csv, <FILE>.report.json and <FILE>.report.html are
    /// written beside it
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) output: Option<PathBuf>,

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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at a table and write a configuration for it, every guess commented
    Init(InitArgs),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct InitArgs {
    /// The table to look at, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// The column to predict
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: String,

    /// The configuration to write; a model configuration is written beside it as <FILE stem>_model.yaml
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
