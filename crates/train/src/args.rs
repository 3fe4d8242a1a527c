//! The arguments as typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

/// Fit a model to the training rows of a featured table, measure it on the test rows, and keep model, figures and everything
/// needed to repeat the run
#[derive(Debug, Parser)]
#[command(name = "train", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The model's configuration
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,

    /// The featured table that `engineer` wrote
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Option<PathBuf>,

    /// The folder of models; <DIR>/trained/model.bin, metrics.json and predictions.csv are written
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) models_dir: Option<PathBuf>,

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
    /// Predict the target for the rows of a raw table
    Predict(PredictArgs),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct PredictArgs {
    /// The folder of models, with trained/model.bin; or a packaged bundle's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) models_dir: PathBuf,

    /// The raw table, .csv or .parquet; it may have the target column, which is not read
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// The table to write: the rows as they came, and a column `prediction`; rows that break the schema go to
    /// <FILE>.quarantine.csv
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
