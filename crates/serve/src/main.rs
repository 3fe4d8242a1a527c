//! `serve`: a packaged model behind an API.

fn main() -> std::process::ExitCode {
    cli::run(serve::Args::global, serve::main)
}
