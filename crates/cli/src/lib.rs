//! Terminal and environment of all programs. No other crate writes to the terminal or reads the environment or the clock.
//!
//! Exit codes: 0 done; 1 a check failed; 2 the program could not run. stdout has the result, stderr everything else.

mod args;
mod config_file;
mod environment;
mod log_sink;
mod misplaced;
mod outcome;
mod progress;
mod reference;
mod run;
mod table;

pub use args::{GlobalArgs, OutputFormat};
pub use config_file::read_text;
pub use environment::{Clock, branch, commit, is_variable_empty, machine, now_ms, program, rfc3339, user, utc, variable};
pub use log_sink::LogSink;
pub use outcome::{Outcome, Refused};
pub use progress::{Progress, StageBar};
pub use run::run;
pub use table::format_table;

/// mimalloc keeps large blocks for reuse. glibc's allocator returns them to the system each time, and tables consist of large blocks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
