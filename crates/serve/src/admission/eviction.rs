//! Selects the connections and bodies that are closed when a limit is reached: the longest waiting ones of the address with the most.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use rustc_hash::FxBuildHasher;

use crate::admission::address::Address;

/// A connection or body that may be closed.
pub(crate) struct EvictionCandidate<T> {
    pub(crate) address: Address,
    /// Its amount of the limited resource.
    pub(crate) weight: u64,
    /// When it last made progress.
    pub(crate) since: Instant,
    pub(crate) item: T,
}

/// The candidates that have waited longest, of the address with the largest total weight: at most `count`, the longest first.
pub(crate) fn choose<T>(candidates: impl Iterator<Item = EvictionCandidate<T>>, count: usize) -> Vec<T> {
    let mut candidates: Vec<EvictionCandidate<T>> = candidates.collect();
    let mut addresses: HashMap<Address, (u64, Instant), FxBuildHasher> = HashMap::default();
    for candidate in &candidates {
        let (weight, since) = addresses.entry(candidate.address).or_insert((0, candidate.since));
        *weight += candidate.weight;
        *since = candidate.since.min(*since);
    }
    let most = addresses.iter().max_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let Some((&address, _)) = most else { return Vec::new() };
    candidates.retain(|candidate| candidate.address == address);
    candidates.sort_by_key(|candidate| candidate.since);
    candidates.into_iter().take(count).map(|candidate| candidate.item).collect()
}

/// The pause after a search without result, because a search visits the whole list.
const SEARCH_PAUSE: Duration = Duration::from_millis(20);

/// The time of the last search without result.
#[derive(Debug, Default)]
pub(crate) struct SearchThrottle(Mutex<Option<Instant>>);

impl SearchThrottle {
    /// Runs `search`, which returns the number of results, unless a recent search had none.
    pub(crate) fn run(&self, search: impl FnOnce() -> usize) -> usize {
        let Ok(mut in_vain) = self.0.try_lock() else { return 0 };
        let now = Instant::now();
        if in_vain.is_some_and(|last| now.duration_since(last) < SEARCH_PAUSE) {
            return 0;
        }
        let count = search();
        *in_vain = (count == 0).then_some(now);
        count
    }
}

/// A notice to close, which one task waits for.
#[derive(Debug, Default)]
pub(crate) struct EvictionNotice {
    sent: AtomicBool,
    waker: AtomicWaker,
}

impl EvictionNotice {
    /// Sends the notice.
    pub(crate) fn send(&self) {
        self.sent.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether the notice was sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Ready when the notice is sent.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.is_sent() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits for the notice.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_address_with_most_is_chosen() {
        let start = Instant::now();
        let candidate = |address: &str, weight, since, item| EvictionCandidate {
            address: Address::from_ip(address.parse().unwrap()),
            weight,
            since: start + Duration::from_secs(since),
            item,
        };
        let (first, other) = ("10.0.0.1", "10.0.0.2");
        assert!(choose(std::iter::empty::<EvictionCandidate<u8>>(), 1).is_empty());
        let few = || [candidate(other, 1, 0, "other"), candidate(first, 1, 5, "young"), candidate(first, 1, 3, "old")];
        assert_eq!(choose(few().into_iter(), 1), ["old"]);
        assert_eq!(choose(few().into_iter(), 9), ["old", "young"]);
        assert_eq!(choose(few().into_iter().chain([candidate(other, 5, 9, "heavy")]), 1), ["other"]);
        // of equals the oldest
        assert_eq!(choose(few().into_iter().take(2), 1), ["other"]);
    }

    #[test]
    fn a_list_is_not_searched_in_vain_again_and_again() {
        let searches = SearchThrottle::default();
        assert_eq!((searches.run(|| 1), searches.run(|| 2)), (1, 2));
        assert_eq!((searches.run(|| 0), searches.run(|| 1)), (0, 0));
    }
}
