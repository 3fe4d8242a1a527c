//! The command-line arguments.

use std::path::PathBuf;

use batch_prediction::PredictArgs;
use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

use crate::search::shard::Shard;

/// Fit a model on the training rows of a featured table, measure it on the test rows, and store the model, its metrics and everything
/// needed to repeat the run
#[derive(Debug, Parser)]
#[command(name = "train", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Read the model's configuration from this file
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,

    /// Read the featured table that `engineer` wrote
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Option<PathBuf>,

    /// Write model.bin, metrics.json, predictions.csv and report.html to DIR/trained
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) models_dir: Option<PathBuf>,

    /// Import the model from this file instead of fitting one: LightGBM's text format or XGBoost's JSON, trained on the columns of the
    /// featured table. The model is measured, recorded and stored like any other
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,

    /// Register the model as a new version with the alias `challenger`; `train promote` makes it the champion
    #[arg(long)]
    pub(crate) register: bool,

    /// Show the run below this parent run in MLflow
    #[arg(long, value_name = "RUN_ID")]
    pub(crate) parent_run: Option<String>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl Args {
    /// The flags that all programs share.
    pub fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[derive(ClapArgs, Clone, Debug, Default)]
pub(crate) struct TrackingArgs {
    /// Record runs here: http://HOST:PORT for an MLflow server, sqlite:///FILE.db for a local file (artifacts go to mlruns/ beside it).
    /// The default is $MLFLOW_TRACKING_URI, then sqlite:///mlflow.db. The other variables of MLflow's client apply, too
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Evaluate many models on the training rows, write the configuration of the best one, and train it
    Search(SearchArgs),
    /// Predict the target of the rows of a file
    Predict(PredictArgs),
    /// List recorded runs, the newest first
    Runs(RunsArgs),
    /// Update recorded artifact paths after moving the tracking folder
    Relocate(RelocateArgs),
    /// Upload locally recorded runs to a server, without duplicates
    Sync(SyncArgs),
    /// List model versions and champion history
    Versions(VersionsArgs),
    /// Make a registered version the champion, if it passes the gate and is not worse than the champion on the same test rows (exit 1
    /// if a check failed)
    Promote(PromoteArgs),
    /// Move the alias `champion` back to the previous version
    Rollback(RollbackArgs),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct SearchArgs {
    /// Read budget, metric and candidates of the search from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// Read the featured table that `engineer` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,

    /// Write the leaderboard to DIR/search, and the trained model to DIR/trained
    #[arg(long, value_name = "DIR")]
    pub(crate) models_dir: PathBuf,

    /// Write the configuration of the best model to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Search for at most N minutes, instead of search.minutes
    #[arg(long, value_name = "N")]
    pub(crate) minutes: Option<f64>,

    /// Evaluate at most N trials, instead of search.trials
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<usize>,

    /// Evaluate only part I of N of the trials, for N machines that share a search through one store of runs. When all parts are done,
    /// the same command without this flag chooses among all trials
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,

    /// Register the best model as a new version with the alias `challenger`
    #[arg(long)]
    pub(crate) register: bool,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RunsArgs {
    /// List only the runs of this experiment, which has the model's name
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,

    /// List at most N runs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RelocateArgs {
    /// Replace the paths of this folder only. The default is every recorded folder that does not exist any more
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct SyncArgs {
    /// Read the runs from this file
    #[arg(long, value_name = "URI", default_value = "sqlite:///mlflow.db")]
    pub(crate) from: String,

    /// Send only the runs of this experiment
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,

    /// Send also the runs that wait in this folder of models
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub(crate) models_dir: PathBuf,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct VersionsArgs {
    /// Use the registered model of this name, which the model's configuration sets
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Print the version that was the champion at this time: 2026-11-24, or 2026-11-24T05:35:13Z
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct PromoteArgs {
    /// Use the registered model of this name, which the model's configuration sets
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Measure both models on the test rows of this cleaned table, which `process` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,

    /// Promote this version. The default is the version with the alias `challenger`
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,

    /// Read package.gate and package.champion from this file
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RollbackArgs {
    /// Use the registered model of this name, which the model's configuration sets
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Store this reason with the history of the alias
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}
