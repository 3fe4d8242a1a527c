//! The arguments as typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

use crate::search::shard::Shard;

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

    /// The folder of models; <DIR>/trained/model.bin, metrics.json, predictions.csv and report.html are written
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) models_dir: Option<PathBuf>,

    /// Take the model from this file instead of fitting one: LightGBM's text format or XGBoost's JSON, trained on the columns of the
    /// featured table. It is measured, recorded and stored like any other
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,

    /// Register the model under its name, as a new version with the alias `challenger`; `train promote` makes it the champion
    #[arg(long)]
    pub(crate) register: bool,

    /// The run that this one is shown under in MLflow's pages
    #[arg(long, value_name = "RUN_ID")]
    pub(crate) parent_run: Option<String>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl Args {
    /// The flags that all programs take.
    pub fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[derive(ClapArgs, Clone, Debug, Default)]
pub(crate) struct TrackingArgs {
    /// Where runs are recorded: http://HOST:PORT for an MLflow server, sqlite:///FILE.db for a file that needs none (artifacts
    /// go to mlruns/ beside it). By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db. The other variables of MLflow's own
    /// client are honoured, too
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try many models on the training rows, write the configuration of the best, and train it
    Search(SearchArgs),
    /// Predict the target for the rows of a raw table
    Predict(PredictArgs),
    /// List the runs that were recorded, the newest first
    Runs(RunsArgs),
    /// Mend the paths in a store of runs whose folder was moved
    Relocate(RelocateArgs),
    /// Send the runs that were recorded in a file to a server: whole, and none twice
    Sync(SyncArgs),
    /// List the versions of a registered model, and which was the champion when
    Versions(VersionsArgs),
    /// Make a registered version the champion, if it passes the gate and is no worse than the champion on the same test rows (exit
    /// 1 if not)
    Promote(PromoteArgs),
    /// Give the alias `champion` back to the version that had it before
    Rollback(RollbackArgs),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct SearchArgs {
    /// What to search: budget, metric, candidates
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// The featured table that `engineer` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,

    /// The folder of models; the leaderboard goes to <DIR>/search, the winner to <DIR>/trained
    #[arg(long, value_name = "DIR")]
    pub(crate) models_dir: PathBuf,

    /// Where the winner's configuration is written
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Minutes at most, in place of search.minutes
    #[arg(long, value_name = "N")]
    pub(crate) minutes: Option<f64>,

    /// Trials at most, in place of search.trials
    #[arg(long, value_name = "N")]
    pub(crate) trials: Option<usize>,

    /// Only part I of N of the trials, for N machines that share a search through one store of runs. When all are done, the same
    /// command without it chooses among all trials
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,

    /// Register the winner under its name, as a new version with the alias `challenger`
    #[arg(long)]
    pub(crate) register: bool,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
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

    /// Also write `prediction_low` and `prediction_high`: the interval that is to hold this share of targets, 0.9 if none is said
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.9")]
    pub(crate) intervals: Option<f64>,

    /// Also write what each raw column adds to the prediction: `base` and a column `from <COLUMN>` each, which add up to it
    #[arg(long)]
    pub(crate) contributions: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RunsArgs {
    /// Only the runs of this experiment, which has the model's name
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,

    /// No more than this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RelocateArgs {
    /// The folder where the store was before; by default every recorded folder that is no longer there
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct SyncArgs {
    /// The file to send from
    #[arg(long, value_name = "URI", default_value = "sqlite:///mlflow.db")]
    pub(crate) from: String,

    /// Only the runs of this experiment
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,

    /// The folder of models, in which runs may wait
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub(crate) models_dir: PathBuf,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct VersionsArgs {
    /// The registered model, which has the name in the model's configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Say which version was the champion then: 2026-11-24, or 2026-11-24T05:35:13Z
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct PromoteArgs {
    /// The registered model, which has the name in the model's configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// The cleaned table that `process` wrote; both models are measured on its test rows
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,

    /// The version to promote; the one with the alias `challenger` if none is named
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u32>,

    /// The stages' settings; its package.gate and package.champion decide
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RollbackArgs {
    /// The registered model, which has the name in the model's configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Why; it is kept with the history of the alias
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,

    #[command(flatten)]
    pub(crate) tracking: TrackingArgs,
}
