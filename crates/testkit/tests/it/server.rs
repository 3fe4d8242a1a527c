//! Real MLflows: the newest that can be installed and the oldest of its major version, as servers and as Python.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use testkit::{Workspace, repository};

pub(crate) const NEWEST: &str = "3.17.2";
pub(crate) const OLDEST: &str = "3.0.0";

/// The Python of a virtual environment with this MLflow, which is made if need be.
pub(crate) fn python(version: &str) -> Command {
    let output = Command::new(repository().join("scripts/mlflow_venv.sh")).arg(version).output().expect("bash runs");
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success() && !folder.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = Command::new(Path::new(&folder).join("bin/python"));
    command.env("MLFLOW_DISABLE_TELEMETRY", "true").env_remove("MLFLOW_TRACKING_URI");
    command
}

/// `mlflow server` with no flags in a workspace, and all that it starts; stopped at the end of the test, whatever comes of it.
pub(crate) struct Server {
    child: Child,
    pub(crate) uri: String,
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port")
}

/// What the server at `address` answers to a request for `path`.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).map(|_| answer)
}

impl Server {
    /// A server that was started elsewhere.
    pub(crate) fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, uri: format!("http://{address}") }
    }

    /// `mlflow server` with no flags.
    pub(crate) fn start(workspace: &Workspace, version: &str) -> Self {
        Self::start_in(workspace, "", version, &[])
    }

    /// `mlflow server` with these flags, in a folder of the workspace.
    pub(crate) fn start_in(workspace: &Workspace, folder: &str, version: &str, flags: &[&str]) -> Self {
        let free = free_address();
        let mut command = python(version);
        command.args(["-m", "mlflow", "server"]).args(flags).env("MLFLOW_PORT", free.port().to_string());
        std::fs::create_dir_all(workspace.path(folder)).expect("a folder");
        command.current_dir(workspace.path(folder));
        // below the prefix, if there is one
        let prefix = flags.iter().skip_while(|flag| **flag != "--static-prefix").nth(1).unwrap_or(&"");
        Self::spawn(command, free, &format!("{prefix}/health"))
    }

    /// `mlflow models serve`.
    pub(crate) fn serve_model(workspace: &Workspace, version: &str, model: &str) -> Self {
        let free = free_address();
        let mut command = python(version);
        command.args(["-m", "mlflow", "models", "serve", "--env-manager", "local", "-h", "127.0.0.1"]);
        command.args(["-m", model, "-p", &free.port().to_string()]);
        command.env("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db");
        // it starts the server as the program `uvicorn`, which stands beside python
        let beside = Path::new(command.get_program()).parent().expect("a folder").to_owned();
        let others = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{others}", beside.display()));
        command.current_dir(workspace.path(""));
        Self::spawn(command, free, "/ping")
    }

    fn spawn(mut command: Command, address: SocketAddr, ready: &str) -> Self {
        command.env_remove("MLFLOW_BACKEND_STORE_URI").stdin(Stdio::null());
        // its programs for jobs in the background take half a processor, and no test asks for a job
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self::of(command.spawn().expect("the server starts"), address);
        for _ in 0..1800 {
            if get(address, ready).is_ok_and(|answer| answer.contains(" 200 ")) {
                return server;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("the server did not answer within three minutes");
    }

    /// The address to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.uri.trim_start_matches("http://").parse().expect("an address")
    }

    /// The JSON that is answered to a request for `path`.
    pub(crate) fn get_json(&self, path: &str) -> serde_json::Value {
        let answer = get(self.address(), path).expect("an answer");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }

    /// The JSON that is answered to JSON sent to `path`.
    pub(crate) fn post_json(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let answer = self.post(path, &body.to_string());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }

    /// What is answered to JSON sent to `path`.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(self.address()).expect("a connection");
        write!(
            connection,
            "POST {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        )
        .expect("a request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a body")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // its workers, too: they are in its process group, and nobody else is
        let _ = Command::new("kill").args(["--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}
