//! Model to bundle: walks the manifests back to the raw table, applies the gate, and packs everything that a prediction needs into a
//! folder and an archive whose bytes depend on their content alone.

mod args;
mod bundle;
mod card;
mod commands;
mod config;
mod gates;
mod image;
mod replay;
mod signature;
mod stage;

pub use args::Args;
pub use commands::verify::verify;
pub use config::Config;
pub use stage::run;

use cli::{Outcome, Progress};

use args::Command;

/// The program after its arguments are parsed.
///
/// # Errors
/// If the stage could not run, or its answer is no ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    let Some(command) = &args.command else { return run(&Config::check(args)?, progress) };
    match command {
        Command::Verify { what, key } => verify(what, key.as_deref()),
        Command::Image(args) => image::image(args, progress),
        Command::Sign(args) => signature::sign(args),
        Command::Push { image, to } => image::push::push(image, to),
    }
}
