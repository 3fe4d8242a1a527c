//! The stage `process`: validates the raw table, accounts for all rows, and assigns the split.
//!
//! Two passes keep memory flat. `scan` parses and validates blocks of the raw table in parallel and stores valid rows, on disk if there are
//! many. Then decisions on all rows are made (duplicates, outlier bounds), and `clean` writes the remaining rows.

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
pub use row_counts::RowCounts;
pub use stage::run;

use cli::{Outcome, Progress};

/// Runs the program with parsed arguments.
///
/// # Errors
/// If the stage cannot run, or a check fails ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Init(init_args)) => {
            let config = InitConfig::try_from_args(init_args, args.global.force)?;
            table_io::on_shared_threads(|| init(&config, progress))
        }
        None => {
            let config = Config::try_from_args(args)?;
            table_io::on_shared_threads(|| run(&config, progress))
        }
    }
}
