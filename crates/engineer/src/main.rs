//! `engineer`: cleaned table to featured table and preprocessor.

fn main() -> std::process::ExitCode {
    cli::run(engineer::Args::global, engineer::main)
}
