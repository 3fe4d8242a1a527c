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
    admission::{
        address::Address,
        eviction::{Candidate, Notice, choose},
    },
    http::error::ApiError,
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
    /// A table that is worked on while it comes. Its long messages take the memory of lists.
    Stream,
    /// Nothing: it is only read so that its sender hears the refusal.
    Refused,
}

/// Who sends a request. Handlers find it among the request's extensions.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) address: Address,
    /// The place among the bodies that come, of a table that is worked on while it comes.
    pub(crate) table: Option<Arc<Arrival>>,
    /// Bytes of memory that decoding the table takes.
    pub(crate) decoder_memory: usize,
}

/// A body that comes.
#[derive(Debug)]
struct Body {
    kind: Kind,
    address: Address,
    /// When it began, or last went on; time of work on what has come is left out.
    since: Instant,
    /// Since when it is worked on; none where it waits for its client.
    works_since: Option<Instant>,
    /// Bytes that came.
    bytes: u64,
    /// Bytes when it last went on.
    counted: u64,
    /// Bytes of memory that it takes.
    held: u64,
    whole: bool,
    notice: Arc<Notice>,
}

#[derive(Debug, Default)]
struct State {
    bodies: HashMap<u64, Body, FxBuildHasher>,
    next: u64,
    unfinished: usize,
    /// Bytes of memory that single rows take, and all others.
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

impl Body {
    /// Whether nothing came for this long.
    fn waits_since(&self, now: Instant, time: Duration) -> bool {
        self.works_since.is_none() && now.duration_since(self.since) >= time
    }
}

impl State {
    /// Bytes of memory that single rows take, or all others.
    fn held(&mut self, is_row: bool) -> &mut u64 {
        if is_row { &mut self.row_bytes } else { &mut self.batch_bytes }
    }

    fn remove(&mut self, id: u64) -> Option<Body> {
        let body = self.bodies.remove(&id)?;
        self.unfinished -= usize::from(!body.whole);
        *self.held(body.kind == Kind::Row) -= body.held;
        Some(body)
    }

    /// Lets unfinished bodies give way that wait for their clients: the oldest of the address with most of those that have a weight. What is
    /// worked on would not stop at once. Returns how many.
    fn give_way(&mut self, count: usize, weight: impl Fn(u64, &Body) -> Option<u64>) -> usize {
        let unfinished = self.bodies.iter().filter(|(_, body)| !body.whole && body.works_since.is_none());
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

    /// The memory of unfinished bodies by their addresses.
    fn by_address(&self, is_row: bool) -> HashMap<Address, u64, FxBuildHasher> {
        let mut held = HashMap::default();
        for body in self.bodies.values().filter(|body| (body.kind == Kind::Row) == is_row && !body.whole) {
            *held.entry(body.address).or_default() += body.held;
        }
        held
    }

    /// Frees memory for the bytes of a body; false if those of others stay.
    fn free(&mut self, id: u64, is_row: bool, address: Address, limit: u64, displaced: &Counter) -> bool {
        while *self.held(is_row) > limit {
            let now = Instant::now();
            let held = self.by_address(is_row);
            let of = |address: &Address| held.get(address).copied().unwrap_or_default();
            let mine = of(&address);
            let weight = |other: u64, body: &Body| {
                let waits = body.waits_since(now, WAITING) && of(&body.address) >= mine;
                let gives = is_row || waits || of(&body.address) > mine;
                let is_other = other != id && (body.kind == Kind::Row) == is_row;
                (is_other && body.held > 0 && gives).then_some(body.held)
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
        let body = Body {
            kind,
            address,
            since,
            works_since: None,
            bytes: 0,
            counted: 0,
            held: 0,
            whole: false,
            notice: notice.clone(),
        };
        state.bodies.insert(id, body);
        drop(state);
        Arrival { arrivals: self.clone(), id, notice }
    }

    /// Lets a stream give way to a request of `address`: one that waits for its client, or one of an address that has more of them; false if
    /// there is none.
    pub(crate) fn close_stream(&self, address: Address) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let mut streams: HashMap<Address, usize, FxBuildHasher> = HashMap::default();
        for body in state.bodies.values().filter(|body| body.kind == Kind::Stream && !body.whole) {
            *streams.entry(body.address).or_default() += 1;
        }
        let of = |address: &Address| streams.get(address).copied().unwrap_or_default();
        let mine = of(&address).max(1);
        let gives = |body: &Body| body.kind == Kind::Stream && (body.waits_since(now, WAITING) || of(&body.address) > mine);
        let found = state.give_way(1, |_, body| gives(body).then_some(1));
        drop(state);
        self.displaced.inc_by(found as u64);
        found > 0
    }

    /// Lets all bodies give way of which nothing came for this long.
    pub(crate) fn close_waiting(&self, time: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        while state.give_way(usize::MAX, |_, body| body.waits_since(now, time).then_some(1)) > 0 {}
    }

    /// Lets the oldest body of the address with most give way; false if there is none.
    pub(crate) fn close_oldest(&self) -> bool {
        let found = self.state().give_way(1, |_, _| Some(1));
        self.displaced.inc_by(found as u64);
        found > 0
    }
}

impl Arrival {
    /// Bytes came. Those of rows and lists take memory.
    ///
    /// # Errors
    /// If it has to give way, or there is no memory for more.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), ApiError> {
        let mut state = self.arrivals.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(gave_way()) };
        body.bytes += bytes as u64;
        if body.bytes - body.counted >= PROGRESS {
            (body.since, body.counted) = (Instant::now(), body.bytes);
        }
        let takes_memory = matches!(body.kind, Kind::Row | Kind::Batch);
        drop(state);
        if takes_memory { self.hold(bytes) } else { Ok(()) }
    }

    /// Takes memory for bytes that came.
    ///
    /// # Errors
    /// If it has to give way, or there is no memory for more.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), ApiError> {
        let mut state = self.arrivals.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(gave_way()) };
        body.held += bytes as u64;
        let (is_row, address) = (body.kind == Kind::Row, body.address);
        let limit = if is_row { ROW_BYTES } else { self.arrivals.batch_bytes };
        *state.held(is_row) += bytes as u64;
        if *state.held(is_row) > limit && !state.free(self.id, is_row, address, limit, &self.arrivals.displaced) {
            state.remove(self.id);
            return Err(ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "as many batches as can be are under way", 1));
        }
        Ok(())
    }

    /// Gives the memory back that was taken.
    pub(crate) fn release(&self) {
        let mut state = self.arrivals.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return };
        let (held, is_row) = (std::mem::take(&mut body.held), body.kind == Kind::Row);
        *state.held(is_row) -= held;
    }

    /// Notes whether the body waits for its client, and not for work on what has come.
    pub(crate) fn wait(&self, waits: bool) {
        let mut state = self.arrivals.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return };
        let now = Instant::now();
        if !waits {
            body.works_since.get_or_insert(now);
        } else if let Some(begun) = body.works_since.take() {
            body.since = (body.since + now.duration_since(begun)).min(now);
        }
    }

    /// All of it has come: it gives way no more, and holds its memory.
    ///
    /// # Errors
    /// If it had to give way just before.
    pub(crate) fn complete(&self) -> Result<(), ApiError> {
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
pub(crate) fn gave_way() -> ApiError {
    let message = "the body did not come before others needed its place; send head and body together";
    ApiError::busy(StatusCode::REQUEST_TIMEOUT, message, 1)
}

#[cfg(test)]
mod tests;
