//! A packaged model behind an API, a page and their metrics; and a file at a time.
//!
//! A request passes the [`edge`](mod@edge) (id, key, limits), is read into values ([`json_rows`]), judged by the schema ([`fields`]) and
//! predicted by an [`engine`](mod@engine). Models are put in each other's place as a whole ([`reload`]), so that a request sees one of them.

mod admission;
mod api;
mod args;
mod arrow_guard;
mod arrow_rows;
mod commands;
mod config;
mod csv_rows;
mod engine;
mod fault;
mod fields;
mod http;
mod json_rows;
mod json_scan;
mod ndjson_rows;
mod server;
mod source;
mod state;
mod telemetry;

pub use args::Args;
pub use config::Config;
pub use server::run;

use cli::{Outcome, Progress};

use crate::commands::{check, healthcheck, predict};

/// The program after its arguments are parsed.
///
/// # Errors
/// If it could not run, or its answer is no ([`cli::No`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Predict(args)) => predict::predict(args, progress),
        Some(args::Command::Check(args)) => check::check(args),
        Some(args::Command::Healthcheck(args)) => healthcheck::ask(args),
        None => run(Config::check(args)?),
    }
}
