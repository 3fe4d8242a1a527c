//! A running `serve`, and a client of it; stopped at the end of the test, whatever comes of it.

use std::{
    fs::{self, File},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Once,
    thread::sleep,
    time::{Duration, Instant},
};

use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::Workspace;

use crate::{PACKAGE, PROCESS, bundle, houses, model_config};

/// The server, its addresses, a client that keeps connections.
pub(crate) struct Served {
    child: Child,
    log: std::path::PathBuf,
    pub(crate) base: String,
    pub(crate) metrics: String,
    pub(crate) client: Client,
}

/// A workspace with a packaged model of few trees.
pub(crate) fn packaged(rows: u64) -> Workspace {
    let workspace = houses(rows);
    let parameters = "  target_transform: log\n  parameters: {n_estimators: 30, max_depth: 3, random_state: 1}\n  cross_validation: {folds: 3}\n";
    workspace.write("m.yaml", model_config("GradientBoosting", parameters));
    let config = workspace.read("configs/pipeline.yaml");
    workspace
        .write("configs/pipeline.yaml", config.replace("r2: {min: 0.9}", "r2: {min: 0.5}").replace("max: 0.12", "max: 0.9"));
    [PROCESS, crate::ENGINEER, "train --config m.yaml --data featured.csv --models-dir models", PACKAGE].iter().for_each(
        |line| {
            workspace.ok(line);
        },
    );
    workspace
}

/// The row of the README.
pub(crate) fn a_house() -> Value {
    json!({"sqft": 1527, "bedrooms": 2, "bathrooms": 1.5, "location": "Suburban", "year_built": 1956, "condition": "Good"})
}

pub(crate) fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder().timeout(Duration::from_mins(1)).build().expect("a client")
}

impl Served {
    /// Serves the only bundle of a workspace.
    pub(crate) fn start(workspace: &Workspace, flags: &str) -> Self {
        Self::of(workspace, &format!("--model {} {flags}", bundle(workspace)), &[])
    }

    /// Serves what the flags say.
    pub(crate) fn of(workspace: &Workspace, flags: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = workspace.command("serve");
        command.envs(variables.iter().copied());
        if !variables.iter().any(|(name, _)| *name == "SERVE_API_KEY") {
            command.env_remove("SERVE_API_KEY");
        }
        Self::run(workspace, command, flags)
    }

    /// Serves the only bundle of a workspace where no file may grow beyond `blocks` (of half a KiB, or of one in some shells).
    pub(crate) fn with_file_limit(workspace: &Workspace, flags: &str, blocks: u32) -> Self {
        let mut command = Command::new("sh");
        command.current_dir(workspace.path("")).env_remove("SERVE_API_KEY").stdin(Stdio::null());
        command.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")]).arg(testkit::binary("serve"));
        Self::run(workspace, command, &format!("--model {} {flags}", bundle(workspace)))
    }

    /// Serves the only bundle of a workspace with so many open files at most.
    pub(crate) fn with_files(workspace: &Workspace, flags: &str, files: u32) -> Self {
        let mut command = Command::new("prlimit");
        command.current_dir(workspace.path("")).env_remove("SERVE_API_KEY").stdin(Stdio::null());
        command.arg(format!("--nofile={files}:{files}")).arg(testkit::binary("serve"));
        Self::run(workspace, command, &format!("--model {} {flags}", bundle(workspace)))
    }

    /// Serves the only bundle of a workspace in so many KiB of address space.
    pub(crate) fn limited(workspace: &Workspace, flags: &str, kib: u64) -> Self {
        let mut command = Command::new("sh");
        command.current_dir(workspace.path("")).env_remove("SERVE_API_KEY").stdin(Stdio::null());
        command.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" \"$@\"")]).arg(testkit::binary("serve"));
        Self::run(workspace, command, &format!("--model {} {flags}", bundle(workspace)))
    }

    fn run(workspace: &Workspace, mut command: Command, flags: &str) -> Self {
        let log = workspace.path("serve.log");
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]).args(flags.split_whitespace());
        let errors = File::create(&log).expect("a log");
        let child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("the server starts");
        let mut served = Self { child, log, base: String::new(), metrics: String::new(), client: client() };
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            let log = served.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(ready) = lines.find(|line| line["event"] == "ready") {
                let address = |key: &str| ready[key].as_str().expect("an address").to_owned();
                (served.base, served.metrics) = (address("address"), address("metrics"));
                return served;
            }
            if let Some(status) = served.child.try_wait().expect("a child") {
                panic!("the server ended with {status}: {log}");
            }
            sleep(Duration::from_millis(5));
        }
        panic!("the server did not say that it is ready: {}", served.log());
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.base)))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(path, "application/json", body.to_string()))
    }

    /// A POST of a text.
    pub(crate) fn request(&self, path: &str, media_type: &str, body: impl Into<reqwest::blocking::Body>) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).header("content-type", media_type).body(body)
    }

    /// A POST of a text, and the text that comes back.
    pub(crate) fn text(&self, path: &str, media_type: &str, body: impl Into<reqwest::blocking::Body>) -> (u16, String) {
        let response = self.request(path, media_type, body).send().expect("an answer");
        (response.status().as_u16(), response.text().expect("text"))
    }

    /// The prediction for a row.
    pub(crate) fn predict(&self, row: &Value) -> f64 {
        let (status, reply) = self.post("/predict", row);
        assert_eq!(status, 200, "{row}: {reply}");
        reply["predicted_price"].as_f64().expect("a price")
    }

    /// The metrics as text.
    pub(crate) fn scrape(&self) -> String {
        self.client.get(&self.metrics).send().and_then(Response::text).expect("metrics")
    }

    /// The value of a metric, labels and all; the sum where there are several.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.scrape();
        let found: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with(name) && !line.starts_with('#'))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!found.is_empty(), "there is no metric {name} in\n{text}");
        found.iter().sum()
    }

    /// Waits until `holds`, ten seconds at most.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < Duration::from_secs(10), "{what} did not come about: {}", self.log());
            sleep(Duration::from_millis(10));
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn memory(&self) -> u64 {
        self.kibibytes("VmRSS:") << 10
    }

    /// The most memory that the server has had in use, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.kibibytes("VmHWM:") >> 10
    }

    /// A number of the process's status in the system.
    fn kibibytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// The processor time that the server has taken.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server lives");
        let fields = stat.rsplit_once(')').expect("a name").1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Ends the server as an operator does; returns its exit and what it wrote to stdout.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = self.child.wait().expect("the server ends");
        let mut said = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            let _ = std::io::Read::read_to_string(&mut stdout, &mut said);
        }
        (status, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and JSON of an answer.
pub(crate) fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().expect("text");
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {text}: {error}")))
}
