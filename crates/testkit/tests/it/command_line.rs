//! The short help of every program and subcommand, and the errors of command lines that cannot be read. The long help is compared with
//! docs/cli.md.

use testkit::Workspace;

use crate::snapshot::{Transcript, assert_text};

const PROGRAMS: [&str; 5] = ["process", "engineer", "train", "package", "serve"];

/// A program and its subcommands, as the generated reference lists them.
fn commands(workspace: &Workspace, program: &str) -> Vec<String> {
    let reference = workspace.ok(&format!("{program} --generate markdown"));
    reference.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`').map(str::to_owned)).collect()
}

#[test]
fn short_help() {
    let workspace = Workspace::new();
    for program in PROGRAMS {
        let mut transcript = Transcript::default();
        let mut global_options = String::new();
        for command in commands(&workspace, program) {
            let line = format!("{command} -h");
            let mut run = workspace.run(&line);
            assert_eq!(run.code, 0);
            // they are shown once
            let own = run.stdout.find("Global options:").expect("global options");
            if global_options.is_empty() {
                run.stdout[own..].clone_into(&mut global_options);
            } else {
                assert_eq!(run.stdout.split_off(own), global_options, "{line}");
            }
            transcript.add(&line, &run);
        }
        assert_text!(program, transcript.text);
    }
}

#[test]
fn command_lines_that_cannot_be_read() {
    let workspace = Workspace::new();
    for program in PROGRAMS {
        let mut transcript = Transcript::default();
        for command in commands(&workspace, program) {
            // asks the server of the machine, if there is one
            if command != "serve healthcheck" {
                transcript.run(&workspace, &command);
            }
            assert_eq!(transcript.run(&workspace, &format!("{command} --colour red")).code, 2);
        }
        for arguments in ["--output-format yaml", "--quiet=yes", "surplus", "--generate pdf"] {
            assert_eq!(transcript.run(&workspace, &format!("{program} {arguments}")).code, 2);
        }
        assert_text!(program, transcript.text);
    }
}

/// Options of a program that stand before its subcommand.
#[test]
fn options_before_a_subcommand() {
    let workspace = Workspace::new();
    let mut transcript = Transcript::default();
    transcript.run(&workspace, "process --input a.csv init --input a.csv --target b --output c.yaml");
    transcript.run(&workspace, "package --output o verify b.tar.gz");
    assert_text!(transcript.text);
}

#[test]
fn what_every_program_can_print() {
    let workspace = Workspace::new();
    for program in PROGRAMS {
        assert!(workspace.ok(&format!("{program} --help")).contains("Global options:"));
        assert_eq!(workspace.ok(&format!("{program} --version")), format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
        assert!(workspace.ok(&format!("{program} --generate completions=bash")).contains("complete -F"));
        assert!(workspace.ok(&format!("{program} --generate man")).starts_with(".ie"));
    }
}
