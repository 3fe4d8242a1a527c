//! What every program shares at the terminal. The only room that writes to it, or reads the environment or the clock.
//!
//! Exit codes: 0 done; 1 the program ran and the answer is no; 2 it could not run. stdout carries the result, stderr the rest.

mod aligned;
mod args;
mod config_file;
mod environment;
mod generate;
mod log_sink;
mod misplaced;
mod outcome;
mod progress;
mod run;

pub use aligned::aligned;
pub use args::{GlobalArgs, OutputFormat};
pub use config_file::read_text;
pub use environment::{Clock, branch, commit, is_variable_empty, machine, now_ms, program, rfc3339, user, utc, variable};
pub use log_sink::LogSink;
pub use outcome::{No, Outcome};
pub use progress::{Bar, Progress};
pub use run::run;

/// glibc's allocator gives large blocks back to the system each time, and a table is nothing but large blocks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
