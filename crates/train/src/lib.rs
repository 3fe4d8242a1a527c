//! Featured table to model and run record: fits on training rows, chooses nothing by the test rows, measures on them once.
//!
//! [`predict`] applies a model to a raw table, through the same preprocessor and the same code as the rows it was measured on.

mod args;
mod config;
mod data;
mod experiment;
mod predict;
mod record;
mod stage;

pub use args::Args;
pub use config::Config;
pub use predict::{PredictConfig, predict};
pub use stage::run;

use cli::{Outcome, Progress};

/// The program after its arguments are parsed.
///
/// # Errors
/// If the stage could not run, or its answer is no ([`cli::No`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Predict(predict_args)) => {
            anyhow::ensure!(
                args.config.is_none() && args.data.is_none() && args.models_dir.is_none(),
                "--config, --data and --models-dir before `predict` mean nothing; write what it takes behind it"
            );
            let config = PredictConfig::check(predict_args)?;
            frame::on_shared_threads(|| predict(&config, progress))
        }
        None => {
            let config = Config::check(args)?;
            frame::on_shared_threads(|| run(&config, progress))
        }
    }
}
