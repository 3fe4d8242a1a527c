//! A `serve` process on loopback, and its client.

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

/// Timeout for the start and the stop of the server.
const SERVER_TIMEOUT: Duration = Duration::from_mins(1);
/// Maximum characters of JSON in a message.
const MAX_JSON_CHARS: usize = 300;

/// A running server; stopped when dropped.
pub(crate) struct ServerProcess {
    child: Child,
    base: String,
    client: reqwest::blocking::Client,
    pub(crate) startup_ms: f64,
}

/// The reason why the server does not run.
pub(crate) enum StartError {
    /// It could not be run.
    NotStarted(anyhow::Error),
    /// It rejected the bundle.
    Rejected(String),
}

/// A response of the server.
pub(crate) struct ServerResponse {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl ServerProcess {
    pub(crate) fn start(program: &Path, bundle: &Path) -> Result<Self, StartError> {
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
            // no other program sends requests
            .env_remove("SERVE_API_KEY")
            // open as long as this program lives
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let client = loopback_client(SERVER_TIMEOUT).map_err(|error| StartError::NotStarted(error.into()))?;
        let spawned = command.spawn().with_context(|| format!("--serve {}: cannot run it", program.display()));
        let mut child = spawned.map_err(StartError::NotStarted)?;
        let lines = read_lines(&mut child);
        let mut server = Self { child, base: String::new(), client, startup_ms: 0.0 };
        let mut output = Vec::new();
        loop {
            match lines.recv_timeout(SERVER_TIMEOUT.saturating_sub(started.elapsed())) {
                Ok(line) => match ready_address(&line) {
                    Some(base) => {
                        server.base = base;
                        server.startup_ms = started.elapsed().as_secs_f64() * 1000.0;
                        return Ok(server);
                    }
                    None => output.push(line),
                },
                Err(RecvTimeoutError::Disconnected) => {
                    let status = server.child.wait().map_err(|error| StartError::NotStarted(error.into()))?;
                    let output = output.join("\n");
                    let output = output.trim().trim_start_matches("error: ");
                    return Err(match status.code() {
                        Some(1) => StartError::Rejected(output.to_owned()),
                        _ => StartError::NotStarted(anyhow!("--serve {}: ended with {status}: {output}", program.display())),
                    });
                }
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = SERVER_TIMEOUT.as_secs();
                    return Err(StartError::NotStarted(anyhow!(
                        "--serve {}: was not ready within {seconds} seconds",
                        program.display()
                    )));
                }
            }
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<ServerResponse> {
        let context = || format!("replay: the server did not respond to {path}");
        let response = self.client.post(format!("{}{path}", self.base)).json(body).send().with_context(context)?;
        let status = response.status().as_u16();
        let text = response.text().with_context(context)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(ServerResponse { status, body })
    }

    /// The peak memory in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Stops the server with SIGTERM.
    pub(crate) fn stop(mut self) -> anyhow::Result<ExitStatus> {
        terminate(&mut self.child)?;
        let started = Instant::now();
        while started.elapsed() < SERVER_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("replay: the server did not stop within {} seconds", SERVER_TIMEOUT.as_secs())
    }
}

#[cfg(unix)]
fn terminate(child: &mut Child) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .context("the server's process id is out of range")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) -> anyhow::Result<()> {
    Ok(child.kill()?)
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log lines of the server; the channel closes when it has ended.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        // reads to the end, so that the server never waits for a reader
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

/// The address in the log line of the event `ready`. A server of version 0.2.0 has that word as its message.
fn ready_address(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["event"] == "ready" || line["message"] == "ready").then(|| line["address"].as_str().map(str::to_owned)).flatten()
}

impl ServerResponse {
    /// The error of a row without a prediction.
    pub(crate) fn describe_row(&self, row: usize, content: &Value) -> String {
        format!("test row {} ({}): response with status {}: {}", row + 1, shorten(content), self.status, shorten(&self.body))
    }

    /// The error of a list without predictions.
    pub(crate) fn describe_list(&self, from: usize) -> String {
        format!("the list from test row {}: response with status {}: {}", from + 1, self.status, shorten(&self.body))
    }
}

/// Shortens JSON for a message.
pub(crate) fn shorten(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_JSON_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
