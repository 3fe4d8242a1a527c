//! Model to bundle: walks the manifests back to the raw table, applies the gate, and packs everything that a prediction needs into a
//! folder and an archive whose bytes depend on their content alone.

mod args;
mod card;
mod champion;
mod compatibility;
mod config;
mod document;
mod gates;
mod lineage;
mod replay;
mod stage;
mod verify;

pub use args::Args;
pub use config::Config;
pub use stage::run;
pub use verify::verify;

use cli::{Outcome, Progress};

/// The program after its arguments are parsed.
///
/// # Errors
/// If the stage could not run, or its answer is no ([`cli::No`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Verify { file }) => {
            anyhow::ensure!(
                args.models_dir.is_none() && args.output.is_none(),
                "--models-dir and --output mean nothing to `verify`; it takes a bundle"
            );
            verify(file)
        }
        None => run(&Config::check(args)?, progress),
    }
}
