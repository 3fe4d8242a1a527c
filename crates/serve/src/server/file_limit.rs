//! How many connections the open files of the process allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of the metrics listener at most: probes and scrapers, of which each keeps one.
pub(crate) const PROBES: usize = 32;
/// Open files besides connections: the log, listeners, timers, the model that is loaded next, the journal.
const OTHERS: usize = 64;

/// Of those, as many as there have to be: what a server has open that does nothing, and some probes.
const FEWEST: usize = 48;

/// Raises the limit of open files as far as the process may; returns it, if there is one.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // where that is not allowed, the limit stays
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current
}

/// The connections of the API that leave enough open files to everything else: those wanted, or fewer. `files` are those that answers may
/// wait in.
pub(crate) fn fit(wanted: usize, files: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let others = (OTHERS + PROBES + files).min(limit / 2).max(FEWEST).min(limit);
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
