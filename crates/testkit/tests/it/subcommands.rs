//! A flag before a subcommand is never passed over.

use testkit::Workspace;

/// The flags of a section of the generated reference, with the name of their value; those that all programs take are left out.
fn flags(section: &str) -> Vec<(String, Option<String>)> {
    let own = section.split("Global options:").next().unwrap_or_default();
    let flag = |line: &str| {
        let rest = line.trim_start().strip_prefix("--").filter(|_| line.starts_with("      --"))?;
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let value = value.trim_start_matches('[').strip_prefix('<').and_then(|value| value.split('>').next());
        Some((name.to_owned(), value.map(str::to_owned)))
    };
    own.lines().filter_map(flag).collect()
}

/// Something that can be read as a value of this name.
fn sample(flag: &str, value: &str) -> String {
    let text = match (flag, value) {
        (_, "ADDRESS" | "ADDRESS|none") => "127.0.0.1:0",
        (_, "GATE") => "leakage",
        (_, "WHICH") => "none",
        (_, "SHARE") => "0.5",
        (_, "SECONDS" | "BYTES" | "N") => "5",
        _ => "x",
    };
    text.to_owned()
}

/// Flags that are only read together with another.
fn companion(flag: &str) -> &'static [&'static str] {
    match flag {
        "allow" => &["--reason", "x"],
        "reason" => &["--allow", "leakage"],
        "challenger-share" | "challenger-key" => &["--challenger", "x"],
        "keep-predictions" => &["--log-predictions", "x"],
        _ => &[],
    }
}

#[test]
fn every_flag_before_every_subcommand_is_refused() {
    let workspace = Workspace::new();
    let mut refused = 0;
    for program in ["process", "train", "package", "serve"] {
        let reference = workspace.ok(&format!("{program} --generate markdown"));
        let sections: Vec<&str> = reference.split("\n## `").collect();
        let own = flags(sections[0]);
        assert!(own.len() >= 3 && sections.len() > 1, "{program}: {own:?}");
        for section in &sections[1..] {
            let title = section.split('`').next().unwrap_or_default();
            let subcommand = title.strip_prefix(&format!("{program} ")).expect("a subcommand");
            let theirs = flags(section);
            for (flag, value) in &own {
                let mut command = workspace.command(program);
                command.args(companion(flag)).arg(format!("--{flag}"));
                command.args(value.iter().map(|value| sample(flag, value))).arg(subcommand);
                let output = command.output().expect("the program starts");
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{program} --{flag} {subcommand}: {stderr}");
                let named = |flag: &str| {
                    if theirs.iter().any(|(own, _)| own == flag) {
                        format!("error: --{flag} must come after `{subcommand}`: {program} {subcommand} --{flag} …\n")
                    } else {
                        format!(
                            "error: --{flag} is not an option of `{subcommand}`. Omit it, or run `{program}` without `{subcommand}`\n"
                        )
                    }
                };
                let companion = companion(flag).first().map(|other| other.trim_start_matches('-'));
                assert!(
                    [Some(flag.as_str()), companion].into_iter().flatten().any(|flag| stderr == named(flag)),
                    "{program} --{flag} {subcommand}: {stderr}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
    for line in ["train -q --output-format json runs", "package --force verify nothing", "serve -v check --model nothing"] {
        let stderr = workspace.run(line).stderr;
        assert!(!stderr.contains("must come after") && !stderr.contains("is not an option of"), "{line}: {stderr}");
    }
    assert_eq!(workspace.run("package --champion x help verify").code, 0);
}
