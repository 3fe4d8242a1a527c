//! Whose place is taken away when there are too many: the longest waiting of the address that holds most.

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

/// One of those that wait.
pub(crate) struct Candidate<T> {
    pub(crate) address: Address,
    /// How much it holds, in whatever unit is short.
    pub(crate) weight: u64,
    /// When it last went on.
    pub(crate) since: Instant,
    pub(crate) item: T,
}

/// Those that have waited longest, `count` at most and the longest first, of the address that holds most.
pub(crate) fn choose<T>(candidates: impl Iterator<Item = Candidate<T>>, count: usize) -> Vec<T> {
    let mut candidates: Vec<Candidate<T>> = candidates.collect();
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

/// How often the same list is searched in vain: a search looks at all of it.
const SEARCH_PAUSE: Duration = Duration::from_millis(20);

/// When a list was last searched in vain.
#[derive(Debug, Default)]
pub(crate) struct Searches(Mutex<Option<Instant>>);

impl Searches {
    /// Searches by `search`, which returns how many it found, unless the last search just found none.
    pub(crate) fn run(&self, search: impl FnOnce() -> usize) -> usize {
        let Ok(mut in_vain) = self.0.try_lock() else { return 0 };
        let now = Instant::now();
        if in_vain.is_some_and(|last| now.duration_since(last) < SEARCH_PAUSE) {
            return 0;
        }
        let found = search();
        *in_vain = (found == 0).then_some(now);
        found
    }
}

/// A notice to give a place back, which one task waits for.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    given: AtomicBool,
    waker: AtomicWaker,
}

impl Notice {
    /// Gives notice.
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether notice was given.
    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Ready when notice was given.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.is_given() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until notice is given.
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
        let candidate = |address: &str, weight, since, item| Candidate {
            address: Address::of(address.parse().unwrap()),
            weight,
            since: start + Duration::from_secs(since),
            item,
        };
        let (first, other) = ("10.0.0.1", "10.0.0.2");
        assert!(choose(std::iter::empty::<Candidate<u8>>(), 1).is_empty());
        let few = || [candidate(other, 1, 0, "other"), candidate(first, 1, 5, "young"), candidate(first, 1, 3, "old")];
        assert_eq!(choose(few().into_iter(), 1), ["old"]);
        assert_eq!(choose(few().into_iter(), 9), ["old", "young"]);
        assert_eq!(choose(few().into_iter().chain([candidate(other, 5, 9, "heavy")]), 1), ["other"]);
        // of equals the oldest
        assert_eq!(choose(few().into_iter().take(2), 1), ["other"]);
    }

    #[test]
    fn a_list_is_not_searched_in_vain_again_and_again() {
        let searches = Searches::default();
        assert_eq!((searches.run(|| 1), searches.run(|| 2)), (1, 2));
        assert_eq!((searches.run(|| 0), searches.run(|| 1)), (0, 0));
    }
}
