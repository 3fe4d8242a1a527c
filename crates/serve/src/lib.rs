//! A packaged model behind an API, a page and their metrics; and a file at a time.
//!
//! A request passes the middleware (id, key, limits). Its row is read, validated and predicted by the crate `inference`. A model is
//! replaced as a whole, so that a request is answered by one model.

mod admission;
mod api;
mod args;
mod commands;
mod config;
mod http;
mod models;
mod server;
mod state;
mod telemetry;

pub use args::Args;
pub use config::Config;
pub use server::run;

use cli::{Outcome, Progress};

use crate::commands::{check, healthcheck};

/// The program after its arguments are parsed.
///
/// # Errors
/// If it could not run, or its answer is no ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Predict(args)) => batch_prediction::predict(args, progress, None),
        Some(args::Command::Check(args)) => check::check(args),
        Some(args::Command::Healthcheck(args)) => healthcheck::ask(args),
        None => run(Config::check(args)?),
    }
}
