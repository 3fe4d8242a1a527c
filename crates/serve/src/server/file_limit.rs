//! The number of connections that the limit of open files allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The maximum number of connections of the metrics listener: probes and scrapers keep one each.
pub(crate) const MAX_PROBE_CONNECTIONS: usize = 32;
/// Open files besides connections: the log, listeners, timers, the next model, the prediction log.
const OTHER_FILES: usize = 64;

/// The minimum of those: what an idle server has open, and some probes.
const MIN_OTHER_FILES: usize = 48;

/// Raises the limit of open files as far as the process may; returns the limit, if there is one.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // the limit stays where raising it is not allowed
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current
}

/// The number of API connections, at most `wanted`, that leaves enough open files for everything else. `files` is the number of files
/// that responses may be stored in.
pub(crate) fn fit(wanted: usize, files: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let others = (OTHER_FILES + MAX_PROBE_CONNECTIONS + files).min(limit / 2).max(MIN_OTHER_FILES).min(limit);
    wanted.min(limit - others).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_the_rest() {
        assert_eq!(fit(8192, 32, None), 8192);
        assert_eq!(fit(8192, 32, Some(1 << 20)), 8192);
        assert_eq!(fit(8192, 32, Some(1024)), 1024 - 128);
        assert_eq!(fit(8192, 32, Some(256)), 128);
        assert_eq!(fit(8192, 32, Some(64)), 16);
        assert_eq!(fit(8192, 32, Some(48)), 1);
        assert_eq!(fit(8192, 32, Some(0)), 1);
        assert_eq!(fit(40, 32, Some(256)), 40);
    }
}
