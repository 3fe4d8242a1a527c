//! A folder to run the built programs in.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// The folder of the whole repository, as cargo says when it runs the test: checkouts may share compiled tests.
///
/// # Panics
/// Outside of `cargo test`.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo"));
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// The built program called `name`: it stands where cargo put the running test, or one folder up.
///
/// # Panics
/// If it was not built: `cargo test --release --workspace` builds it.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    let program = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    program.unwrap_or_else(|| panic!("{name} is not built: run the tests with --workspace"))
}

/// A temporary folder with the configurations of the repository, in which programs are run.
pub struct Workspace {
    folder: TempDir,
}

/// What a program did.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workspace {
    /// An empty folder but for `configs/`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let workspace = Self { folder };
        fs::create_dir(workspace.path("configs")).expect("a folder for configurations");
        for entry in fs::read_dir(repository().join("configs")).expect("the repository's configurations") {
            let path = entry.expect("a folder entry").path();
            fs::copy(&path, workspace.path("configs").join(path.file_name().expect("a file name"))).expect("a copy");
        }
        workspace
    }

    /// The path of `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, making folders.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, content).expect("a file");
        self
    }

    /// The text of a file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The bytes of a file.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The JSON in a file.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A command of the program `name` in the folder.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binary(name));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        // where runs go is what the command line says, not what the tester's shell does
        command.env_remove("MLFLOW_TRACKING_URI");
        // help is as wide as in the reference, whatever the tester's terminal is
        command.env_remove("COLUMNS");
        command
    }

    /// Runs a command line such as `process --input a.csv --output b.csv`.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn run(&self, line: &str) -> Run {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().expect("a program"));
        let output = command.args(words).output().expect("the program starts");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command line that must succeed; returns its stdout.
    ///
    /// # Panics
    /// If it does not.
    pub fn ok(&self, line: &str) -> String {
        let run = self.run(line);
        assert_eq!(run.code, 0, "{line}\n{}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// Runs a command line that must fail with `code`; returns its stderr.
    ///
    /// # Panics
    /// If it does not.
    pub fn fails(&self, code: i32, line: &str) -> String {
        let run = self.run(line);
        assert_eq!(run.code, code, "{line}\n{}{}", run.stdout, run.stderr);
        run.stderr
    }
}
