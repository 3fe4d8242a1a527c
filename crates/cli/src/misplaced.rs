//! Errors for flags before a subcommand, which would be ignored there.

use std::ffi::OsString;

use clap::{ArgMatches, Command, parser::ValueSource};

/// The error for a misplaced flag in `typed`, if any. Global flags may be on both sides.
pub(crate) fn misplaced_flag(command: &Command, typed: &[OsString]) -> Option<String> {
    // the flag is often reported as missing after the subcommand, so this message takes precedence
    let matches = command.clone().ignore_errors(true).try_get_matches_from(typed).ok()?;
    message(command, &matches)
}

fn message(command: &Command, matches: &ArgMatches) -> Option<String> {
    let (name, sub_matches) = matches.subcommand()?;
    let subcommand = command.find_subcommand(name)?;
    let before = command.get_arguments().filter(|arg| !arg.is_global_set());
    for arg in before.filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)) {
        let Some(flag) = arg.get_long() else { continue };
        let program = command.get_name();
        return Some(if subcommand.get_arguments().any(|own| own.get_long() == Some(flag)) {
            format!("--{flag} must come after `{name}`: {program} {name} --{flag} …")
        } else {
            format!("--{flag} is not an option of `{name}`. Omit it, or run `{program}` without `{name}`")
        });
    }
    message(subcommand, sub_matches)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn error_for(line: &str) -> Option<String> {
        let flag = |name: &'static str| Arg::new(name).long(name);
        let inner = Command::new("deeper");
        let sub = Command::new("check").arg(flag("model").required(true)).arg(flag("depth")).subcommand(inner);
        let command = Command::new("serve")
            .arg(flag("model"))
            .arg(flag("port").default_value("8000"))
            .arg(flag("format").global(true))
            .subcommand(sub);
        misplaced_flag(&command, &line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_flag_before_a_subcommand_is_an_error() {
        assert_eq!(
            error_for("serve --model m check").as_deref(),
            Some("--model must come after `check`: serve check --model …")
        );
        assert_eq!(
            error_for("serve --port 1 check --model m").as_deref(),
            Some("--port is not an option of `check`. Omit it, or run `serve` without `check`")
        );
        assert_eq!(
            error_for("serve check --depth 1 deeper").as_deref(),
            Some("--depth is not an option of `deeper`. Omit it, or run `check` without `deeper`")
        );
        for valid in ["serve", "serve --port 1", "serve check --model m", "serve --format json check", "serve check deeper"]
        {
            assert_eq!(error_for(valid), None, "{valid}");
        }
    }
}
