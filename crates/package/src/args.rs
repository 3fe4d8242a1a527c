//! The arguments as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use cli::GlobalArgs;

/// Pack a trained model with its preprocessor, schema, configuration, figures and model card into one bundle, if its lineage is
/// unbroken and it passes the gate
#[derive(Debug, Parser)]
#[command(name = "package", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The folder of models, with what `train` wrote in <DIR>/trained
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) models_dir: Option<PathBuf>,

    /// The folder to write bundles to: <DIR>/<name>-<content id>/ and the same as .tar.gz
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) output: Option<PathBuf>,

    /// The table's schema and the stages' settings; its package.gate decides
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
    /// Check a bundle: every digest, that model and preprocessor belong together, that both can be used (exit 1 if not)
    Verify {
        /// The bundle: its folder or its .tar.gz
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
