//! The program `package`.

fn main() -> std::process::ExitCode {
    cli::run(package::Args::global, package::main)
}
