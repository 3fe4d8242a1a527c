//! podman, kept in a folder of its own.

use std::{
    fs,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// podman with everything of it in one folder.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        // a user who may not raise limits keeps the present ones
        let text = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\nlog_driver = \"k8s-file\"\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{}\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{}\"\n",
            at("libpod"),
            at("networks")
        );
        fs::write(folder.path().join("containers.conf"), text).expect("a configuration");
        Self { folder }
    }

    pub(crate) fn run(&self, args: &[&str]) -> (bool, String) {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", at("containers.conf")).arg("--root").arg(at("root")).arg("--runroot").arg(at("run"));
        let output =
            command.args(args).stdin(Stdio::null()).output().expect("podman: scripts/delivery_tools.sh installs it");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let (content, message) = self.run(args);
        assert!(content, "podman {args:?}: {message}");
        message
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "--all", "--force", "--time", "0"]);
        let _ = self.run(&["rmi", "--all", "--force"]);
        // podman leaves the folder of its layers mounted on itself, and it could not be removed
        let _ = Command::new("umount").args(["--lazy"]).arg(self.folder.path().join("root/overlay")).status();
    }
}
