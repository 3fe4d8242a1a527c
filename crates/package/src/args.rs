//! The arguments as typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

use crate::gates::GateName;

/// Pack a trained model with its preprocessor, schema, configuration, figures and model card into one bundle, if its lineage is
/// unbroken, it passes the gates, and a server started on it answers every test row as it was measured
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

    /// The table's schema and the stages' settings; its package section decides
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) gates: GateArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// What a model must stand before it is packaged.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Gates")]
pub(crate) struct GateArgs {
    /// The model in use, to be compared with on the same test rows: a bundle's folder or .tar.gz, models:/NAME@ALIAS or
    /// models:/NAME/VERSION of a registry. A registry that has none yet is no obstacle
    #[arg(long, value_name = "MODEL")]
    pub(crate) champion: Option<String>,

    /// The registry of models:/…: http://HOST:PORT or sqlite:///FILE.db. By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,

    /// The `serve` that must answer every test row as it was measured. By default the one beside this program, or on the PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) serve: Option<PathBuf>,

    /// Let a gate be missed; may be given several times. The reason goes into the bundle. The replay cannot be missed
    #[arg(long, value_name = "GATE", value_enum, requires = "reason")]
    pub(crate) allow: Vec<GateName>,

    /// Why that is to be borne
    #[arg(long, value_name = "TEXT", requires = "allow")]
    pub(crate) reason: Option<String>,
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
