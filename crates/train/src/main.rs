//! `train`: featured table to model and run record.

fn main() -> std::process::ExitCode {
    cli::run(train::Args::global, train::main)
}
