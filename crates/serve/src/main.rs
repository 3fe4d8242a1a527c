//! The program `serve`.

fn main() -> std::process::ExitCode {
    cli::run(serve::Args::global, serve::main)
}
