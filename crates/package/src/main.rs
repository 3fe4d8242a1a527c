//! `package`: model to bundle.

fn main() -> std::process::ExitCode {
    cli::run(package::Args::global, package::main)
}
