//! Featured table to model and recorded run: fits on training rows, chooses nothing by the test rows, measures on them once.
//!
//! [`predict`] applies a model to a raw table, through the same preprocessor and the same code as the rows it was measured on.

mod args;
mod calibration;
mod config;
mod coverage;
mod data;
mod experiment;
mod given;
mod lineage;
mod logged_model;
mod page;
mod plots;
mod predict;
mod promote;
mod record;
mod registered;
mod relocate;
mod rollback;
mod run_paths;
mod runs;
mod search;
mod stage;
mod stopped_training;
mod sync;
mod told;
mod tracked;
mod versions;

pub use args::Args;
pub use config::Config;
pub use predict::{PredictConfig, predict};
pub use stage::run;

use args::Command;
use cli::{Outcome, Progress};

/// The program after its arguments are parsed.
///
/// # Errors
/// If the stage could not run, or its answer is no ([`cli::No`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    let Some(command) = &args.command else {
        let config = Config::check(args)?;
        return frame::on_shared_threads(|| run(&config, progress));
    };
    match command {
        Command::Search(search_args) => frame::on_shared_threads(|| search::search(search_args, progress)),
        Command::Predict(predict_args) => {
            let config = PredictConfig::check(predict_args, progress)?;
            frame::on_shared_threads(|| predict(&config, progress))
        }
        Command::Runs(runs_args) => runs::list(runs_args, progress),
        Command::Relocate(relocate_args) => relocate::relocate(relocate_args, progress),
        Command::Sync(sync_args) => sync::sync(sync_args, progress),
        Command::Versions(versions_args) => versions::list(versions_args, progress),
        Command::Promote(promote_args) => frame::on_shared_threads(|| promote::promote(promote_args, progress)),
        Command::Rollback(rollback_args) => rollback::rollback(rollback_args, progress),
    }
}
