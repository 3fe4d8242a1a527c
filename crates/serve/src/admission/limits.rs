//! The limits of the server, and the rate limit of callers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The maximum number of callers with a rate of their own; further callers are rejected until one is idle.
const MAX_CALLERS: usize = 10_000;

/// The limits of the server.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Bytes of a body in memory.
    pub(crate) body: usize,
    /// Bytes of a streamed body.
    pub(crate) stream: u64,
    /// Rows of a list.
    pub(crate) rows: usize,
    /// Requests whose body is complete, until their response is sent.
    pub(crate) in_flight: usize,
    /// Requests whose body is incomplete.
    pub(crate) unfinished: usize,
    /// Connections.
    pub(crate) connections: usize,
    /// Concurrent batches.
    pub(crate) batches: usize,
    /// Time for a body to arrive, and for a batch to be processed.
    pub(crate) time: Duration,
}

/// The number of requests per second of a caller. The requests of one second may be sent at once.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_second: f64,
    callers: Mutex<HashMap<u64, (f64, Instant)>>,
}

impl RateLimit {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { per_second, callers: Mutex::default() }
    }

    /// Counts a request of a caller.
    ///
    /// # Errors
    /// With the seconds until the next request is allowed.
    pub(crate) fn take(&self, caller: u64, now: Instant) -> Result<(), u32> {
        let full = self.per_second.max(1.0);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MAX_CALLERS && !callers.contains_key(&caller) {
            // an idle caller has all requests left, and need not be remembered
            let refilled =
                |(left, since): &(f64, Instant)| left + now.duration_since(*since).as_secs_f64() * self.per_second < full;
            callers.retain(|_, known| refilled(known));
            if callers.len() >= MAX_CALLERS {
                return Err(1);
            }
        }
        let (left, since) = callers.entry(caller).or_insert((full, now));
        *left = (*left + now.duration_since(*since).as_secs_f64() * self.per_second).min(full);
        *since = now;
        if *left < 1.0 {
            return Err(((1.0 - *left) / self.per_second).ceil().max(1.0) as u32);
        }
        *left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_his_share_a_second() {
        let limit = RateLimit::new(2.0);
        let start = Instant::now();
        assert_eq!(limit.take(1, start), Ok(()));
        assert_eq!(limit.take(1, start), Ok(()));
        assert_eq!(limit.take(1, start), Err(1));
        assert_eq!(limit.take(2, start), Ok(()));
        assert_eq!(limit.take(1, start + Duration::from_millis(600)), Ok(()));
        assert_eq!(limit.take(1, start + Duration::from_millis(700)), Err(1));
        let slow = RateLimit::new(0.1);
        assert_eq!(slow.take(1, start), Ok(()));
        assert_eq!(slow.take(1, start), Err(10));
    }

    #[test]
    fn the_memory_of_callers_is_bounded() {
        let limit = RateLimit::new(1.0);
        let start = Instant::now();
        for caller in 0..MAX_CALLERS as u64 {
            assert_eq!(limit.take(caller, start), Ok(()));
        }
        assert_eq!(limit.take(u64::MAX, start), Err(1));
        assert_eq!(limit.take(u64::MAX, start + Duration::from_secs(2)), Ok(()));
        assert_eq!(limit.callers.lock().unwrap().len(), 1);
    }
}
