//! Completions, man pages and the Markdown reference, from the same definitions that parse the arguments.

use std::{ffi::OsString, fmt::Write, path::Path};

use clap::{Command, ValueEnum};
use clap_complete::Shell;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Generate {
    Completions(Shell),
    Man,
    Markdown,
}

/// What `--generate` asks for, looked for before other arguments are required.
pub(crate) fn requested(typed: &[OsString]) -> Option<Result<Generate, String>> {
    let place = typed.iter().position(|arg| arg == "--generate" || arg.to_string_lossy().starts_with("--generate="))?;
    let typed_value = match typed[place].to_string_lossy().split_once('=') {
        Some((_, value)) => value.to_owned(),
        None => typed.get(place + 1).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    Some(match typed_value.split_once('=').unwrap_or((&typed_value, "")) {
        ("completions", "") => Ok(Generate::Completions(shell_in_use())),
        ("completions", shell) => Shell::from_str(shell, true).map(Generate::Completions).map_err(|_| {
            format!("there are no completions for \"{shell}\": name one of bash, elvish, fish, powershell, zsh")
        }),
        ("man", "") => Ok(Generate::Man),
        ("markdown", "") => Ok(Generate::Markdown),
        _ => Err(format!("--generate takes completions, man or markdown, not \"{typed_value}\"")),
    })
}

fn shell_in_use() -> Shell {
    std::env::var_os("SHELL").and_then(|shell| Shell::from_shell_path(Path::new(&shell))).unwrap_or(Shell::Bash)
}

/// The generated text.
pub(crate) fn render(mut command: Command, what: Generate) -> String {
    let name = command.get_name().to_owned();
    let mut bytes = Vec::new();
    match what {
        Generate::Completions(shell) => clap_complete::generate(shell, &mut command, name, &mut bytes),
        Generate::Man => {
            let _ = clap_mangen::Man::new(command).render(&mut bytes);
        }
        Generate::Markdown => bytes = markdown(command).into_bytes(),
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

    fn asked(args: &[&str]) -> Option<Result<Generate, String>> {
        requested(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_flag_is_found_wherever_it_stands() {
        assert_eq!(asked(&["process", "--input", "a"]), None);
        assert_eq!(asked(&["process", "--generate", "man"]), Some(Ok(Generate::Man)));
        assert_eq!(asked(&["process", "-v", "--generate=completions=fish"]), Some(Ok(Generate::Completions(Shell::Fish))));
        assert_eq!(
            asked(&["process", "--generate", "html"]),
            Some(Err("--generate takes completions, man or markdown, not \"html\"".into()))
        );
        assert_eq!(
            asked(&["process", "--generate", "completions=tcsh"]),
            Some(Err("there are no completions for \"tcsh\": name one of bash, elvish, fish, powershell, zsh".into()))
        );
    }
}
