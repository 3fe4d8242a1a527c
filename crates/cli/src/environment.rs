//! Clock, environment variables, user and Git checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Formats milliseconds since 1970-01-01 UTC as `2026-11-23 20:46:40`.
pub fn utc(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Formats milliseconds since 1970-01-01 UTC as `2026-11-23T20:46:40.123Z` (RFC 3339).
pub fn rfc3339(ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms.cast_signed()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

/// Start time of an activity, and its duration.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at_ms: u64,
    started: Instant,
}

impl Clock {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { started_at_ms: now_ms(), started: Instant::now() }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time since the start in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }
}

/// The value of an environment variable, if it is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// True if an environment variable is set but empty.
pub fn is_variable_empty(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Path of the program called `name`: beside the running one, else on the `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|running| Some(running.parent()?.join(&file)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(&file));
    beside.into_iter().chain(on_path).find(|candidate| candidate.is_file())
}

/// Name of the user: from the environment, else from the system.
pub fn user() -> Option<String> {
    ["LOGNAME", "USER", "USERNAME"].into_iter().find_map(variable).or_else(|| whoami::username().ok())
}

/// System, processor type and number of processors.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} {}, {processors} processors", std::env::consts::OS, std::env::consts::ARCH)
}

/// The checked-out commit of the working folder or a parent, read from `.git` without running git.
pub fn commit() -> Option<String> {
    commit_in(&git_folder()?)
}

/// The checked-out branch of the same folder, if any.
pub fn branch() -> Option<String> {
    branch_in(&git_folder()?)
}

fn git_folder() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let git = here.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    match fs::read_to_string(&git) {
        // a work tree or submodule: a file with the path of the folder
        Ok(pointer) => Some(git.parent()?.join(pointer.strip_prefix("gitdir:")?.trim())),
        Err(_) => Some(git),
    }
}

fn branch_in(git: &Path) -> Option<String> {
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned)
}

fn commit_in(git: &Path) -> Option<String> {
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    let common =
        fs::read_to_string(git.join("commondir")).map_or(git.to_owned(), |path| git.join(PathBuf::from(path.trim())));
    if let Ok(commit) = fs::read_to_string(common.join(name)) {
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_and_branch_are_found_loose_packed_and_detached() {
        let folder = std::env::temp_dir().join(format!("commit-{}", std::process::id()));
        let git = folder.join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(commit_in(&git), None);
        fs::write(git.join("packed-refs"), "# pack\nabc1 refs/heads/other\nabc2 refs/heads/main\n").unwrap();
        assert_eq!(commit_in(&git).as_deref(), Some("abc2"));
        fs::write(git.join("refs/heads/main"), "abc3\n").unwrap();
        assert_eq!(commit_in(&git).as_deref(), Some("abc3"));
        assert_eq!(branch_in(&git).as_deref(), Some("main"));
        fs::write(git.join("HEAD"), "abc4\n").unwrap();
        assert_eq!(branch_in(&git), None);
        assert_eq!(commit_in(&git).as_deref(), Some("abc4"));
        fs::remove_dir_all(folder).unwrap();
    }
}
