//! A stage that is killed or cannot write leaves what stood there before.

use std::{process::Stdio, thread::sleep, time::Duration};

use crate::{ENGINEER, PROCESS, houses};

#[test]
fn a_killed_stage_leaves_the_previous_output() {
    let workspace = houses(120_000);
    workspace.ok(PROCESS);
    workspace.ok(ENGINEER);
    for (line, output) in [(PROCESS, "cleaned.csv"), (ENGINEER, "featured.csv")] {
        let before = workspace.bytes(output);
        let mut interrupted = 0;
        for milliseconds in (0..60).step_by(4) {
            let mut words = line.split_whitespace();
            let mut command = workspace.command(words.next().unwrap());
            let mut child = command.args(words).args(["--force", "-q"]).stdout(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_millis(milliseconds));
            child.kill().unwrap();
            interrupted += usize::from(!child.wait().unwrap().success());
            assert!(workspace.bytes(output) == before, "{line} killed after {milliseconds} ms");
        }
        assert!(interrupted > 5, "{line} was too fast to be killed");
        // the next run is as if nothing had been, and clears what the killed ones left
        workspace.ok(&format!("{line} --force"));
        assert!(workspace.bytes(output) == before);
        let left: Vec<String> = std::fs::read_dir(workspace.path(""))
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(&format!(".{output}.")))
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }
}

/// A limit on the size of files stands in for a full disk: the write fails half-way.
#[cfg(unix)]
#[test]
fn a_full_disk_is_named_and_costs_nothing() {
    let workspace = houses(2000);
    workspace.ok(PROCESS);
    let before = workspace.bytes("cleaned.csv");
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} --input raw.csv --output cleaned.csv --force",
        testkit::binary("process").display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).current_dir(workspace.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: cleaned.csv") && stderr.contains("cannot write it: File too large"), "{stderr}");
    assert_eq!(workspace.bytes("cleaned.csv"), before);
}
