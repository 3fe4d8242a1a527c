//! Packages a model: verifies its lineage back to the raw table, applies the gates, and writes everything that a prediction needs to a
//! folder and an archive. Their bytes depend on their content only.

mod args;
mod bundle;
mod card;
mod commands;
mod config;
mod gates;
mod image;
mod outputs;
mod replay;
mod signature;
mod stage;

pub use args::Args;
pub use commands::verify::verify;
pub use config::Config;
pub use image::elf::architecture;
pub use signature::key::{PrivateKey, PublicKey};
pub use stage::run;

use cli::{Outcome, Progress};

use args::Command;

/// Runs the program with parsed arguments.
///
/// # Errors
/// If the stage cannot run, or a check fails ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    let Some(command) = &args.command else { return run(&Config::try_from_args(args)?, progress) };
    match command {
        Command::Verify { path, key } => verify(path, key.as_deref()),
        Command::Image(args) => image::image(args, progress),
        Command::Sign(args) => signature::sign(args),
        Command::Push { image, to } => image::push::push(image, to),
    }
}
