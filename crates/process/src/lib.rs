//! Raw table to cleaned table: every cell judged by the schema, every row accounted for, the split decided once.
//!
//! Two passes keep memory flat. `scan` parses, judges and identifies blocks of the raw table side by side and stores the good rows, on
//! disk where there are many. What depends on all rows (duplicates, fences) is decided then, and `clean` writes the rows that stay.

mod args;
mod clean;
mod config;
mod duplicates;
mod init;
mod outliers;
mod profile;
mod quarantine;
mod report;
mod row_counts;
mod row_store;
mod scan;
mod split;
mod stage;

pub use args::Args;
pub use config::Config;
pub use init::{InitConfig, init};
pub use row_counts::Balance;
pub use stage::run;

use cli::{Outcome, Progress};

/// The program after its arguments are parsed.
///
/// # Errors
/// If the stage could not run, or its answer is no ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Init(init_args)) => {
            let config = InitConfig::check(init_args, args.global.force)?;
            frame::on_shared_threads(|| init(&config, progress))
        }
        None => {
            let config = Config::check(args)?;
            frame::on_shared_threads(|| run(&config, progress))
        }
    }
}
