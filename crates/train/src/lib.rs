//! Trains a model on a featured table and records the run. Test rows are never used to choose anything; they are scored once.
//! `train predict` applies a model to a raw table, with the preprocessor and the code that scored the test rows.

mod args;
mod commands;
mod config;
mod fitting;
mod inputs;
mod outputs;
mod report;
mod run_paths;
mod search;
mod stage;
mod summary;
mod tracking;

pub use args::Args;
pub use config::Config;
pub use stage::run;

use cli::{Outcome, Progress};

use crate::{
    args::Command,
    commands::{predict, promote, relocate, rollback, runs, sync, versions},
};

/// Runs the program with parsed arguments.
///
/// # Errors
/// If the command could not run, or a check failed ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    let Some(command) = &args.command else {
        let config = Config::try_from_args(args)?;
        return table_io::on_shared_threads(|| run(&config, progress));
    };
    match command {
        Command::Search(search_args) => table_io::on_shared_threads(|| search::search(search_args, progress)),
        Command::Predict(predict_args) => predict::predict(predict_args, progress),
        Command::Runs(runs_args) => runs::list(runs_args, progress),
        Command::Relocate(relocate_args) => relocate::relocate(relocate_args, progress),
        Command::Sync(sync_args) => sync::sync(sync_args, progress),
        Command::Versions(versions_args) => versions::list(versions_args, progress),
        Command::Promote(promote_args) => table_io::on_shared_threads(|| promote::promote(promote_args, progress)),
        Command::Rollback(rollback_args) => rollback::rollback(rollback_args, progress),
    }
}
