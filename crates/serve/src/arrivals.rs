//! Bodies that have not come whole: how many there may be, how much memory they take, and who gives way to whom.
//!
//! A row that comes together with its head is not among them. A new body is always let in: where there are too many, the oldest of the
//! address with most gives way. A body of a batch displaces others that still come only if its address holds less than theirs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use rustc_hash::FxBuildHasher;

use crate::{
    address::Address,
    eviction::{Candidate, Notice, choose},
    refusal::Refusal,
};

/// Bytes of unfinished bodies of single rows at most.
const ROW_BYTES: u64 = 32 << 20;
/// Bytes of bodies of batches at most, from their first byte until they are dropped; or two of the largest.
const BATCH_BYTES: u64 = 128 << 20;
/// A body of which nothing came for this long waits for its client.
const WAITING: Duration = Duration::from_secs(1);
/// Bytes after which a body counts as going on: fewer do not put off its turn to give way.
const PROGRESS: u64 = 64 << 10;
/// One of so many gives way at a time, so that the list is not searched for every new body.
const SHARE: usize = 64;

/// What a body is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A row, or a true value.
    Row,
    /// A list of rows, read whole.
    Batch,
    /// A table that is worked on while it comes; it takes no memory here.
    Stream,
    /// Nothing: it is only read so that its sender hears the refusal.
    Refused,
}

/// A body that comes.
#[derive(Debug)]
struct Body {
    kind: Kind,
    address: Address,
    /// When it began, or last went on.
    since: Instant,
    bytes: u64,
    /// Bytes when it last went on.
    counted: u64,
    whole: bool,
    notice: Arc<Notice>,
}

#[derive(Debug, Default)]
struct State {
    bodies: HashMap<u64, Body, FxBuildHasher>,
    next: u64,
    unfinished: usize,
    /// Bytes of rows, and of batches.
    row_bytes: u64,
    batch_bytes: u64,
}

/// All bodies that come.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// Unfinished ones at most.
    limit: usize,
    batch_bytes: u64,
    /// Those that gave way.
    displaced: Counter,
    state: Mutex<State>,
}

/// A place among the bodies that come, and the memory of one, until it is dropped.
pub(crate) struct Arrival {
    arrivals: Arc<Arrivals>,
    id: u64,
    notice: Arc<Notice>,
}

impl State {
    fn bytes(&mut self, kind: Kind) -> Option<&mut u64> {
        match kind {
            Kind::Row => Some(&mut self.row_bytes),
            Kind::Batch => Some(&mut self.batch_bytes),
            Kind::Stream | Kind::Refused => None,
        }
    }

    fn remove(&mut self, id: u64) -> Option<Body> {
        let body = self.bodies.remove(&id)?;
        self.unfinished -= usize::from(!body.whole);
        if let Some(bytes) = self.bytes(body.kind) {
            *bytes -= body.bytes;
        }
        Some(body)
    }

    /// Lets unfinished bodies give way: the oldest of the address with most of those that have a weight. Returns how many.
    fn give_way(&mut self, count: usize, weight: impl Fn(u64, &Body) -> Option<u64>) -> usize {
        let unfinished = self.bodies.iter().filter(|(_, body)| !body.whole);
        let candidates = unfinished.filter_map(|(id, body)| {
            Some(Candidate { address: body.address, weight: weight(*id, body)?, since: body.since, item: *id })
        });
        let chosen = choose(candidates, count);
        for id in &chosen {
            if let Some(body) = self.remove(*id) {
                body.notice.give();
            }
        }
        chosen.len()
    }

    /// The bytes of unfinished bodies by their addresses.
    fn by_address(&self, kind: Kind) -> HashMap<Address, u64, FxBuildHasher> {
        let mut bytes = HashMap::default();
        for body in self.bodies.values().filter(|body| body.kind == kind && !body.whole) {
            *bytes.entry(body.address).or_default() += body.bytes;
        }
        bytes
    }

    /// Frees memory for the bytes of a body; false if those of others stay.
    fn free(&mut self, id: u64, kind: Kind, address: Address, limit: u64, displaced: &Counter) -> bool {
        while self.bytes(kind).is_some_and(|bytes| *bytes > limit) {
            let now = Instant::now();
            let held = self.by_address(kind);
            let of = |address: &Address| held.get(address).copied().unwrap_or_default();
            let mine = of(&address);
            let weight = |other: u64, body: &Body| {
                let waits = now.duration_since(body.since) >= WAITING && of(&body.address) >= mine;
                let gives = kind == Kind::Row || waits || of(&body.address) > mine;
                (other != id && body.kind == kind && body.bytes > 0 && gives).then_some(body.bytes)
            };
            if self.give_way(1, weight) == 0 {
                return false;
            }
            displaced.inc();
        }
        true
    }
}

impl Arrivals {
    /// For so many unfinished bodies, the largest of so many bytes; `displaced` counts those that give way.
    pub(crate) fn new(limit: usize, largest: usize, displaced: Counter) -> Self {
        Self { limit, batch_bytes: BATCH_BYTES.max(2 * largest as u64), displaced, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are that have not come whole.
    pub(crate) fn unfinished(&self) -> usize {
        self.state().unfinished
    }

    /// A body begins to come, which may make others give way.
    pub(crate) fn begin(self: &Arc<Self>, kind: Kind, address: Address) -> Arrival {
        let notice = Arc::new(Notice::default());
        let mut state = self.state();
        if state.unfinished >= self.limit {
            let count = state.unfinished - self.limit + 1 + self.limit / SHARE;
            self.displaced.inc_by(state.give_way(count, |_, _| Some(1)) as u64);
        }
        let id = state.next;
        state.next += 1;
        state.unfinished += 1;
        let since = Instant::now();
        let body = Body { kind, address, since, bytes: 0, counted: 0, whole: false, notice: notice.clone() };
        state.bodies.insert(id, body);
        drop(state);
        Arrival { arrivals: self.clone(), id, notice }
    }

    /// Lets a stream give way that waits for its client; false if none does.
    pub(crate) fn close_waiting_stream(&self) -> bool {
        let now = Instant::now();
        let waits = |body: &Body| body.kind == Kind::Stream && now.duration_since(body.since) >= WAITING;
        let found = self.state().give_way(1, |_, body| waits(body).then_some(1));
        self.displaced.inc_by(found as u64);
        found > 0
    }

    /// Lets the oldest body of the address with most give way; false if there is none.
    pub(crate) fn close_oldest(&self) -> bool {
        let found = self.state().give_way(1, |_, _| Some(1));
        self.displaced.inc_by(found as u64);
        found > 0
    }
}

impl Arrival {
    /// Bytes came, and take memory.
    ///
    /// # Errors
    /// If it has to give way, or there is no memory for more.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), Refusal> {
        let mut state = self.arrivals.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(gave_way()) };
        body.bytes += bytes as u64;
        if body.bytes - body.counted >= PROGRESS {
            (body.since, body.counted) = (Instant::now(), body.bytes);
        }
        let (kind, address) = (body.kind, body.address);
        let Some(all) = state.bytes(kind) else { return Ok(()) };
        *all += bytes as u64;
        let limit = if kind == Kind::Row { ROW_BYTES } else { self.arrivals.batch_bytes };
        if *all > limit && !state.free(self.id, kind, address, limit, &self.arrivals.displaced) {
            state.remove(self.id);
            return Err(Refusal::busy(StatusCode::SERVICE_UNAVAILABLE, "as many batches as can be are under way", 1));
        }
        Ok(())
    }

    /// All of it has come: it gives way no more, and holds its memory.
    ///
    /// # Errors
    /// If it had to give way just before.
    pub(crate) fn complete(&self) -> Result<(), Refusal> {
        let mut guard = self.arrivals.state();
        let state = &mut *guard;
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(gave_way()) };
        if !body.whole {
            body.whole = true;
            state.unfinished -= 1;
        }
        Ok(())
    }

    /// The notice that it has to give way.
    pub(crate) fn notice(&self) -> &Arc<Notice> {
        &self.notice
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.arrivals.state().remove(self.id);
    }
}

/// The refusal of a body that had to give way.
pub(crate) fn gave_way() -> Refusal {
    let message = "the body did not come before others needed its place; send head and body together";
    Refusal::busy(StatusCode::REQUEST_TIMEOUT, message, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::of(text.parse().unwrap())
    }

    #[test]
    fn newcomers_displace_the_oldest_of_the_address_with_most() {
        let arrivals = Arc::new(Arrivals::new(3, 1, Counter::default()));
        let begin = |from: &str| arrivals.begin(Kind::Row, address(from));
        let (other, old, young) = (begin("10.0.0.2"), begin("10.0.0.1"), begin("10.0.0.1"));
        let newcomer = begin("10.0.0.2");
        assert!(old.notice().is_given() && old.add(1).is_err() && old.complete().is_err());
        assert!([&other, &young, &newcomer].iter().all(|arrival| !arrival.notice().is_given()));
        // what has come whole gives way no more, and is not counted
        other.complete().unwrap();
        assert_eq!(arrivals.unfinished(), 2);
        drop((young, newcomer));
        assert_eq!(arrivals.unfinished(), 0);
    }

    #[test]
    fn the_bytes_of_rows_are_bounded() {
        let arrivals = Arc::new(Arrivals::new(1000, 1, Counter::default()));
        let bodies: Vec<Arrival> = (0..200).map(|_| arrivals.begin(Kind::Row, address("10.0.0.1"))).collect();
        let refused = bodies.iter().filter(|body| body.add(256 << 10).is_err()).count();
        assert_eq!(refused, 0);
        let left = bodies.iter().filter(|body| !body.notice().is_given()).count();
        assert_eq!(left as u64, ROW_BYTES / (256 << 10));
        assert!(bodies[0].notice().is_given() && !bodies[199].notice().is_given());
    }

    #[test]
    fn a_batch_displaces_those_of_an_address_that_holds_more() {
        let arrivals = Arc::new(Arrivals::new(1000, 1, Counter::default()));
        let batch = |from: &str| arrivals.begin(Kind::Batch, address(from));
        let (first, second) = (batch("10.0.0.1"), batch("10.0.0.1"));
        first.add(60 << 20).unwrap();
        second.add(60 << 20).unwrap();
        // its own still come: it is refused, and holds nothing
        let third = batch("10.0.0.1");
        assert_eq!(third.add(20 << 20).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        let other = batch("10.0.0.2");
        other.add(20 << 20).unwrap();
        assert!(first.notice().is_given() && !second.notice().is_given());
        // what is worked on stays
        second.complete().unwrap();
        other.complete().unwrap();
        assert!(batch("10.0.0.3").add(60 << 20).is_err());
        drop(second);
        batch("10.0.0.3").add(60 << 20).unwrap();
    }
}
