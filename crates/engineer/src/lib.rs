//! The stage `engineer`: fits the preprocessor on training rows, transforms all rows, and writes both.
//!
//! The file is read twice in blocks, so that memory does not grow with the rows: for the fit and for the transformation.

mod args;
mod config;
mod stage;

pub use args::Args;
pub use config::Config;
pub use stage::run;

use cli::{Outcome, Progress};

/// Runs the program with parsed arguments.
///
/// # Errors
/// If the stage cannot run, or a check fails ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    let config = Config::try_from_args(args)?;
    table_io::on_shared_threads(|| run(&config, progress))
}
