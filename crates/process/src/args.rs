//! Command line arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

/// Clean a raw table: validate all cells, quarantine invalid rows, remove duplicates, split rows into training and test rows, and report on
/// rows and columns
#[derive(Debug, Parser)]
#[command(name = "process", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The raw table, .csv or .parquet
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) input: Option<PathBuf>,

    /// The cleaned table to write, .csv or .parquet. FILE.quarantine.csv, FILE.report.json and FILE.report.html are written beside it
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) output: Option<PathBuf>,

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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Infer a configuration from a table, with comments
    Init(InitArgs),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct InitArgs {
    /// The table to read, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// The column to predict
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: String,

    /// The configuration to write; a model configuration is written beside it as <FILE stem>_model.yaml
    #[allow(rustdoc::invalid_html_tags, reason = "this is also the text of --help")]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
