//! The common `main` of all programs: parse arguments, run, print, exit code.

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};

use crate::{
    args::{GlobalArgs, OutputFormat},
    misplaced::misplaced_flag,
    outcome::{Outcome, Refused},
    progress::Progress,
    reference,
};

/// Parses the arguments, runs the program, prints its result and returns the exit code. `globals` returns the global flags of the parsed
/// arguments.
pub fn run<A: CommandFactory + FromArgMatches>(
    globals: impl FnOnce(&A) -> &GlobalArgs,
    program: impl FnOnce(&A, &Progress) -> anyhow::Result<Outcome>,
) -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    match reference::parse_request(&typed) {
        Some(Ok(kind)) => return print(&reference::render(A::command(), kind), ExitCode::SUCCESS),
        Some(Err(message)) => return fail(&message, 2),
        None => {}
    }
    let parse_error = |error: clap::Error| {
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { 2 } else { 0 })
    };
    let parsed = A::command().try_get_matches_from(&typed);
    if let Some(message) =
        misplaced_flag(&A::command(), &typed).filter(|_| !matches!(&parsed, Err(help) if !help.use_stderr()))
    {
        return fail(&message, 2);
    }
    let matches = match parsed {
        Ok(matches) => matches,
        Err(error) => return parse_error(error),
    };
    let args = match A::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => return parse_error(error),
    };
    let flags = globals(&args).clone();
    let progress = Progress::new(&flags);
    match program(&args, &progress) {
        Ok(outcome) => {
            let code = if outcome.refusal.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS };
            let text = match flags.output_format {
                OutputFormat::Human => outcome.human.trim_end(),
                OutputFormat::Json => outcome.json.as_str(),
            };
            let code = print(&format!("{text}\n"), code);
            outcome.refusal.map_or(code, |why| fail(&why, 1))
        }
        Err(error) => fail(&format!("{error:#}"), if error.downcast_ref::<Refused>().is_some() { 1 } else { 2 }),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(code)
}

/// Writes the result. A closed pipe (`| head`) is not an error; a full disk is.
fn print(text: &str, code: ExitCode) -> ExitCode {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            fail(&format!("cannot write the result: {error}"), 2)
        }
        _ => code,
    }
}
