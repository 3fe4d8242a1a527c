//! A registry of container images on loopback, ended with the test.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::served::client;

/// Debian's `docker-registry`.
pub(crate) struct OciRegistry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    _folder: TempDir,
}

impl OciRegistry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            folder.path().join("data").display()
        );
        fs::write(&config, text).expect("a configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry is installed: scripts/delivery_tools.sh");
        let started = Self { child, address, _folder: folder };
        let begun = Instant::now();
        while client().get(format!("http://{}/v2/", started.address)).send().is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the registry does not answer");
            sleep(Duration::from_millis(20));
        }
        started
    }
}

impl Drop for OciRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
