//! A stage that is killed or cannot write leaves what stood there before.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::Stdio,
    thread::sleep,
    time::Duration,
};

use crate::{ENGINEER, PACKAGE, PROCESS, TRAIN, houses, model_config, run_all};

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

/// Twenty kills stand for the hundreds that were tried: see scripts/kill_test.py.
#[cfg(unix)]
#[test]
fn a_killed_package_leaves_no_process_and_the_next_run_nothing_else() {
    let programs = testkit::binary("package").parent().unwrap().to_owned();
    let mut command = std::process::Command::new(testkit::repository().join("scripts/kill_test.py"));
    command.args(["--stages", "package", "--kills", "20", "--check-every", "5", "--programs"]).arg(programs);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("\"faults\": 0"), "{said}");
}

/// The server that a program starts ends with it, before it listens and after.
#[cfg(unix)]
#[test]
fn a_server_ends_with_its_standard_input() {
    let workspace = crate::served::packaged(300);
    let model = crate::bundle(&workspace);
    for wait_for_ready in [false, true] {
        let mut command = workspace.command("serve");
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "none", "--stop-with-stdin", "--model", &model]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        if wait_for_ready {
            let mut line = String::new();
            while !line.contains("\"ready\"") {
                line.clear();
                assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0, "it ended");
            }
        }
        drop(child.stdin.take());
        let begun = std::time::Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(10) {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the server goes on without its standard input");
            }
            sleep(Duration::from_millis(5));
        }
        assert!(child.wait().unwrap().success());
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

/// A program that reads what another program writes waits for it, says so, and then reads complete files.
#[cfg(unix)]
#[test]
fn files_are_not_read_while_another_program_writes_them() {
    let workspace = houses(500);
    workspace.write("configs/model_config.yaml", model_config("Ridge", ""));
    let pipeline = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", pipeline.split("\npackage:").next().unwrap());
    // tables and models in folders of their own
    let in_folders = |line: &str| line.replace("cleaned.csv", "cleaned/c.csv").replace("featured.csv", "featured/f.csv");
    let lines = [PROCESS, ENGINEER, TRAIN].map(in_folders);
    lines.iter().for_each(|line| drop(workspace.ok(line)));
    workspace.ok(PACKAGE);
    let predict = "train predict --models-dir models --input raw.csv --output predicted.csv".to_owned();
    let [_, engineer, train] = lines;
    for (line, folder, file) in [
        (format!("{PACKAGE} --force"), "models/trained", "models/trained/metrics.json"),
        (format!("{PACKAGE} --force"), "featured", "featured/f.csv"),
        (format!("{PACKAGE} --force"), "cleaned", "cleaned/c.csv"),
        (predict, "models/trained", "models/trained/model.bin"),
        (format!("{train} --force"), "featured", "featured/f.csv"),
        (format!("{engineer} --force"), "cleaned", "cleaned/c.csv"),
    ] {
        let whole = workspace.bytes(file);
        let writer = File::open(workspace.path(folder)).unwrap();
        writer.lock().unwrap();
        workspace.write(file, "half");
        let mut words = line.split_whitespace();
        let mut command = workspace.command(words.next().unwrap());
        let mut child = command.args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let folder = workspace.path(folder).canonicalize().unwrap();
        let waits = format!("warning: waiting (without a time limit) until another program releases {}", folder.display());
        assert_eq!(stderr.next().unwrap().unwrap(), waits, "{line}");
        sleep(Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none(), "{line} did not wait");
        workspace.write(file, whole);
        drop(writer);
        let said: Vec<String> = stderr.map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "{line}: {said:?}");
    }
}

/// Two pipelines in one folder, each again and again: they take turns, and none waits for ever.
#[test]
fn two_pipelines_in_one_folder_take_turns() {
    let workspace = houses(300);
    workspace.write("configs/model_config.yaml", model_config("Ridge", "  cross_validation: {folds: 0}\n"));
    let pipeline = workspace.read("configs/pipeline.yaml");
    workspace.write("configs/pipeline.yaml", pipeline.split("\npackage:").next().unwrap());
    run_all(&workspace);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for line in [PROCESS, ENGINEER, TRAIN, PACKAGE, TRAIN, ENGINEER, PACKAGE, PROCESS, PACKAGE] {
                    workspace.ok(&format!("{line} --force"));
                }
            });
        }
    });
}
