//! Shell completions, man pages and Markdown references of programs, from the definitions of their arguments.

use std::{ffi::OsString, fmt::Write, path::Path};

use clap::{Command, ValueEnum};
use clap_complete::Shell;

/// A kind of reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CommandReference {
    Completions(Shell),
    Man,
    Markdown,
}

/// Parses `--generate` before other arguments are required.
pub(crate) fn parse_request(typed: &[OsString]) -> Option<Result<CommandReference, String>> {
    let place = typed.iter().position(|arg| arg == "--generate" || arg.to_string_lossy().starts_with("--generate="))?;
    let typed_value = match typed[place].to_string_lossy().split_once('=') {
        Some((_, value)) => value.to_owned(),
        None => typed.get(place + 1).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    Some(match typed_value.split_once('=').unwrap_or((&typed_value, "")) {
        ("completions", "") => Ok(CommandReference::Completions(shell_in_use())),
        ("completions", shell) => Shell::from_str(shell, true)
            .map(CommandReference::Completions)
            .map_err(|_| format!("no completions for \"{shell}\". Name one of bash, elvish, fish, powershell, zsh")),
        ("man", "") => Ok(CommandReference::Man),
        ("markdown", "") => Ok(CommandReference::Markdown),
        _ => Err(format!("--generate must be completions, man or markdown, not \"{typed_value}\"")),
    })
}

fn shell_in_use() -> Shell {
    std::env::var_os("SHELL").and_then(|shell| Shell::from_shell_path(Path::new(&shell))).unwrap_or(Shell::Bash)
}

/// The generated text.
pub(crate) fn render(mut command: Command, reference: CommandReference) -> String {
    let name = command.get_name().to_owned();
    let mut bytes = Vec::new();
    match reference {
        CommandReference::Completions(shell) => clap_complete::generate(shell, &mut command, name, &mut bytes),
        CommandReference::Man => {
            let _ = clap_mangen::Man::new(command).render(&mut bytes);
        }
        CommandReference::Markdown => bytes = markdown(command).into_bytes(),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn markdown(command: Command) -> String {
    let mut command = command.term_width(100);
    command.build();
    let mut out = String::new();
    section(&mut out, &mut command);
    out
}

fn section(out: &mut String, command: &mut Command) {
    let title = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "## `{title}`\n\n```text\n{}\n```\n\n", help.join("\n").trim_end());
    for subcommand in command.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
        section(out, subcommand);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(args: &[&str]) -> Option<Result<CommandReference, String>> {
        parse_request(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_flag_is_found_at_any_position() {
        assert_eq!(request(&["process", "--input", "a"]), None);
        assert_eq!(request(&["process", "--generate", "man"]), Some(Ok(CommandReference::Man)));
        assert_eq!(
            request(&["process", "-v", "--generate=completions=fish"]),
            Some(Ok(CommandReference::Completions(Shell::Fish)))
        );
        assert_eq!(
            request(&["process", "--generate", "html"]),
            Some(Err("--generate must be completions, man or markdown, not \"html\"".into()))
        );
        assert_eq!(
            request(&["process", "--generate", "completions=tcsh"]),
            Some(Err("no completions for \"tcsh\". Name one of bash, elvish, fish, powershell, zsh".into()))
        );
    }
}
