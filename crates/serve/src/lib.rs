//! Serves predictions of a packaged model over HTTP, and predicts files.
//!
//! A request passes the middleware (request id, API key, limits). The crate `inference` reads, validates and predicts its rows.
//! A model is replaced as a whole, so that no request uses two models.

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

/// Runs the program with parsed arguments.
///
/// # Errors
/// If it cannot run, or a check fails ([`cli::Refused`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Predict(args)) => batch_prediction::predict(args, progress, None),
        Some(args::Command::Check(args)) => check::check_model(args),
        Some(args::Command::Healthcheck(args)) => healthcheck::request_readiness(args),
        None => run(Config::try_from_args(args)?),
    }
}
