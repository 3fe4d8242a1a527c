//! Flags that stand before a subcommand and belong behind it, or to none: the subcommand would run without them.

use std::ffi::OsString;

use clap::{ArgMatches, Command, parser::ValueSource};

/// What is wrong with the place of a flag among the words `typed`, if something is. Global flags may stand on both sides.
pub(crate) fn misplaced_flag(command: &Command, typed: &[OsString]) -> Option<String> {
    // a flag that stands behind is often missed there: the place is the better message
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
            format!(
                "--{flag} stands before `{name}`, which would run without it; write it behind: {program} {name} --{flag} …"
            )
        } else {
            format!(
                "--{flag} stands before `{name}`, which has no such flag; leave it out, or run `{program}` without `{name}`"
            )
        });
    }
    message(subcommand, sub_matches)
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn said(line: &str) -> Option<String> {
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
    fn a_flag_before_a_subcommand_is_named_with_its_place() {
        assert_eq!(
            said("serve --model m check").as_deref(),
            Some("--model stands before `check`, which would run without it; write it behind: serve check --model …")
        );
        assert_eq!(
            said("serve --port 1 check --model m").as_deref(),
            Some("--port stands before `check`, which has no such flag; leave it out, or run `serve` without `check`")
        );
        assert_eq!(
            said("serve check --depth 1 deeper").as_deref(),
            Some("--depth stands before `deeper`, which has no such flag; leave it out, or run `check` without `deeper`")
        );
        for fine in ["serve", "serve --port 1", "serve check --model m", "serve --format json check", "serve check deeper"] {
            assert_eq!(said(fine), None, "{fine}");
        }
    }
}
