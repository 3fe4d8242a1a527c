//! A packaged model behind an API, a page and their metrics; and a file at a time.
//!
//! A request passes the [`edge`](mod@edge) (id, key, limits), is read into values ([`json_rows`]), judged by the schema ([`fields`]) and
//! predicted by an [`engine`](mod@engine). Models are put in each other's place as a whole ([`reload`]), so that a request sees one of them.

mod about;
mod access;
mod address;
mod app;
mod args;
mod arrivals;
mod arrow_guard;
mod arrow_rows;
mod batch;
mod body;
mod body_buffer;
mod budget;
mod check;
mod clock;
mod config;
mod connection;
mod csv_rows;
mod descriptors;
mod edge;
mod endpoint;
mod engine;
mod eviction;
mod fault;
mod feedback;
mod fields;
mod gzip;
mod head;
mod healthcheck;
mod journal;
mod journal_files;
mod json_rows;
mod json_scan;
mod limits;
mod listen;
mod log;
mod message_memory;
mod metrics;
mod ndjson_rows;
mod oip;
mod openapi;
mod parent;
mod predict;
mod recent_entries;
mod refusal;
mod reload;
mod routes;
mod score;
mod server;
mod socket;
mod source;
mod spool;
mod stream;
mod tensor_column;
mod tensors;
mod work;

pub use args::Args;
pub use config::Config;
pub use server::run;

use cli::{Outcome, Progress};

/// The program after its arguments are parsed.
///
/// # Errors
/// If it could not run, or its answer is no ([`cli::No`]).
pub fn main(args: &Args, progress: &Progress) -> anyhow::Result<Outcome> {
    match &args.command {
        Some(args::Command::Predict(args)) => score::predict(args, progress),
        Some(args::Command::Check(args)) => check::check(args),
        Some(args::Command::Healthcheck(args)) => healthcheck::ask(args),
        None => run(Config::check(args)?),
    }
}
