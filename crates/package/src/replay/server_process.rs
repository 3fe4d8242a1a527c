//! A `serve` of our own on loopback, and a client of it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use tracking::loopback_client;

/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Characters of JSON that a message shows at most.
const LONGEST: usize = 300;

/// A running server; ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    base: String,
    client: reqwest::blocking::Client,
    pub(crate) startup_ms: f64,
}

/// Why there is no server.
pub(crate) enum Fault {
    /// It could not be run.
    NotStarted(anyhow::Error),
    /// It ran and would not serve the bundle.
    Refused(String),
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Server {
    pub(crate) fn start(program: &Path, bundle: &Path) -> Result<Self, Fault> {
        let mut command = Command::new(program);
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "none",
                "--log-requests",
                "none",
                "--grace",
                "5",
                "--stop-with-stdin",
            ])
            .arg("--model")
            .arg(bundle)
            // it is asked by us alone
            .env_remove("SERVE_API_KEY")
            // it is open as long as this program lives
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let client = loopback_client(PATIENCE).map_err(|error| Fault::NotStarted(error.into()))?;
        let spawned = command.spawn().with_context(|| format!("--serve {}: cannot be run", program.display()));
        let mut child = spawned.map_err(Fault::NotStarted)?;
        let lines = read_lines(&mut child);
        let mut server = Self { child, base: String::new(), client, startup_ms: 0.0 };
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => match ready(&line) {
                    Some(base) => {
                        server.base = base;
                        server.startup_ms = begun.elapsed().as_secs_f64() * 1000.0;
                        return Ok(server);
                    }
                    None => said.push(line),
                },
                Err(RecvTimeoutError::Disconnected) => {
                    let status = server.child.wait().map_err(|error| Fault::NotStarted(error.into()))?;
                    let said = said.join("\n");
                    let said = said.trim().trim_start_matches("error: ");
                    return Err(match status.code() {
                        Some(1) => Fault::Refused(said.to_owned()),
                        _ => Fault::NotStarted(anyhow!("--serve {}: ended with {status}: {said}", program.display())),
                    });
                }
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(Fault::NotStarted(anyhow!(
                        "--serve {}: was not ready within {seconds} seconds",
                        program.display()
                    )));
                }
            }
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let asked = || format!("replay: the server did not answer {path}");
        let response = self.client.post(format!("{}{path}", self.base)).json(body).send().with_context(asked)?;
        let status = response.status().as_u16();
        let text = response.text().with_context(asked)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// The most memory that it held, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(mut self) -> anyhow::Result<ExitStatus> {
        terminate(&mut self.child)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("replay: the server did not end within {} seconds", PATIENCE.as_secs())
    }
}

#[cfg(unix)]
fn terminate(child: &mut Child) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).context("a process has a number")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) -> anyhow::Result<()> {
    Ok(child.kill()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of its log as they come; the channel closes when it has ended.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        // goes on to the end, lest the server wait for a reader
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

/// The address in the line that says that it is ready.
fn ready(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "ready").then(|| line["address"].as_str().map(str::to_owned)).flatten()
}

impl Answer {
    /// What is said of a row that has no prediction.
    pub(crate) fn of_row(&self, row: usize, content: &Value) -> String {
        format!(
            "test row {} ({}) is answered with status {}: {}",
            row + 1,
            shortened(content),
            self.status,
            shortened(&self.body)
        )
    }

    /// What is said of a list that has no predictions.
    pub(crate) fn of_list(&self, from: usize) -> String {
        format!("the list from test row {} on is answered with status {}: {}", from + 1, self.status, shortened(&self.body))
    }
}

/// JSON for a message.
pub(crate) fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
