//! Cleaned table to featured table: learns the preprocessor from training rows, applies it to all, keeps both.
//!
//! The file is read twice, block by block, so that memory does not grow with the rows: once to learn, once to transform.

mod args;
mod config;
mod stage;

pub use args::Args;
pub use config::Config;
pub use stage::run;

use cli::{Outcome, Progress};

/// The program after its arguments are parsed.
///
/// # Errors
/// If the stage could not run, or its answer is no ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    let config = Config::check(args)?;
    frame::on_shared_threads(|| run(&config, progress))
}
