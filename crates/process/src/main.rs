//! `process`: raw table to cleaned table.

fn main() -> std::process::ExitCode {
    cli::run(process::Args::global, process::main)
}
