//! Incomplete request bodies: their number, their memory, and which of them is closed in favour of another.
//!
//! A row that arrives together with its head is not bytes_at_progress. A new body is always accepted. Above the limit the oldest body of the address
//! with the most is closed. A batch body closes other incomplete ones only if its address uses less memory than theirs.

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
        eviction::{EvictionCandidate, EvictionNotice, choose},
    },
    http::error::ApiError,
};

/// Maximum bytes of incomplete single rows.
const ROW_MEMORY_BYTES: u64 = 32 << 20;
/// Maximum bytes of batch bodies, from their first byte until they are dropped. It is raised to twice the largest body.
const BATCH_MEMORY_BYTES: u64 = 128 << 20;
/// A body of which nothing arrived for this long waits for its client.
const IDLE_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that count as progress. Fewer bytes do not protect a body from being closed.
const PROGRESS_BYTES: u64 = 64 << 10;
/// The part (one of this many) of all bodies that is closed at a time, so that not every new body searches the list.
const EVICTION_SHARE: usize = 64;

/// The use of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyKind {
    /// A row, or an actual value.
    Row,
    /// A list of rows, read completely.
    Batch,
    /// A table that is processed while it arrives. Its long messages use the memory of lists.
    Stream,
    /// A rejected body. It is read so that its sender gets the response.
    Rejected,
}

/// The client of a request. It is a request extension.
#[derive(Clone)]
pub(crate) struct RequestClient {
    pub(crate) address: Address,
    /// The body of the request, if it is a table that is processed while it arrives.
    pub(crate) table: Option<IncomingTable>,
}

/// The body of a table that is processed while it arrives.
#[derive(Clone)]
pub(crate) struct IncomingTable {
    pub(crate) body: Arc<UnfinishedBody>,
    /// Bytes of memory that decoding takes.
    pub(crate) decoder_memory: usize,
}

/// The state of a body.
#[derive(Debug)]
struct BodyState {
    kind: BodyKind,
    address: Address,
    /// When it began or last made progress, without the time of processing.
    since: Instant,
    /// Since when received bytes are processed; none while it waits for its client.
    processing_since: Option<Instant>,
    /// Bytes received.
    bytes: u64,
    /// Bytes at its last progress.
    bytes_at_progress: u64,
    /// Bytes of memory.
    memory: u64,
    is_complete: bool,
    notice: Arc<EvictionNotice>,
}

#[derive(Debug, Default)]
struct BodyTable {
    bodies: HashMap<u64, BodyState, FxBuildHasher>,
    next: u64,
    unfinished: usize,
    /// Bytes of memory of single rows, and of all other bodies.
    row_bytes: u64,
    batch_bytes: u64,
}

/// All bodies that arrive.
#[derive(Debug)]
pub(crate) struct UnfinishedBodies {
    /// The maximum number of incomplete bodies.
    limit: usize,
    batch_bytes: u64,
    /// The number of bodies closed in favour of others.
    evictions: Counter,
    state: Mutex<BodyTable>,
}

/// A body in the list, and its memory, until it is dropped.
pub(crate) struct UnfinishedBody {
    unfinished_bodies: Arc<UnfinishedBodies>,
    id: u64,
    notice: Arc<EvictionNotice>,
}

impl BodyState {
    /// Whether it waits for its client and nothing arrived for `time`.
    fn waits_since(&self, now: Instant, time: Duration) -> bool {
        self.processing_since.is_none() && now.duration_since(self.since) >= time
    }
}

impl BodyTable {
    /// Bytes of memory of single rows, or of all other bodies.
    fn memory_of(&mut self, is_row: bool) -> &mut u64 {
        if is_row { &mut self.row_bytes } else { &mut self.batch_bytes }
    }

    fn remove(&mut self, id: u64) -> Option<BodyState> {
        let body = self.bodies.remove(&id)?;
        self.unfinished -= usize::from(!body.is_complete);
        *self.memory_of(body.kind == BodyKind::Row) -= body.memory;
        Some(body)
    }

    /// Closes incomplete bodies that wait for their clients: the oldest ones with a weight, of the address with the most. Bodies that are
    /// processed would not stop at once. Returns the number closed.
    fn evict(&mut self, count: usize, weight: impl Fn(u64, &BodyState) -> Option<u64>) -> usize {
        let unfinished = self.bodies.iter().filter(|(_, body)| !body.is_complete && body.processing_since.is_none());
        let candidates = unfinished.filter_map(|(id, body)| {
            Some(EvictionCandidate { address: body.address, weight: weight(*id, body)?, since: body.since, item: *id })
        });
        let chosen = choose(candidates, count);
        for id in &chosen {
            if let Some(body) = self.remove(*id) {
                body.notice.send();
            }
        }
        chosen.len()
    }

    /// The memory of incomplete bodies by address.
    fn memory_by_address(&self, is_row: bool) -> HashMap<Address, u64, FxBuildHasher> {
        let mut usage = HashMap::default();
        for body in self.bodies.values().filter(|body| (body.kind == BodyKind::Row) == is_row && !body.is_complete) {
            *usage.entry(body.address).or_default() += body.memory;
        }
        usage
    }

    /// Frees memory for a body by closing others; false if not enough can be closed.
    fn free_memory(&mut self, id: u64, is_row: bool, address: Address, limit: u64, evictions: &Counter) -> bool {
        while *self.memory_of(is_row) > limit {
            let now = Instant::now();
            let by_address = self.memory_by_address(is_row);
            let usage = |address: &Address| by_address.get(address).copied().unwrap_or_default();
            let own = usage(&address);
            let weight = |other: u64, body: &BodyState| {
                let waits = body.waits_since(now, IDLE_BODY_TIMEOUT) && usage(&body.address) >= own;
                let may_close = is_row || waits || usage(&body.address) > own;
                let is_other = other != id && (body.kind == BodyKind::Row) == is_row;
                (is_other && body.memory > 0 && may_close).then_some(body.memory)
            };
            if self.evict(1, weight) == 0 {
                return false;
            }
            evictions.inc();
        }
        true
    }
}

impl UnfinishedBodies {
    /// A list of at most `limit` incomplete bodies, of at most `largest` bytes each; `evictions` counts the bodies closed.
    pub(crate) fn new(limit: usize, largest: usize, evictions: Counter) -> Self {
        Self { limit, batch_bytes: BATCH_MEMORY_BYTES.max(2 * largest as u64), evictions, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, BodyTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of incomplete bodies.
    pub(crate) fn unfinished(&self) -> usize {
        self.state().unfinished
    }

    /// Adds a body, which may close others.
    pub(crate) fn begin(self: &Arc<Self>, kind: BodyKind, address: Address) -> UnfinishedBody {
        let notice = Arc::new(EvictionNotice::default());
        let mut state = self.state();
        if state.unfinished >= self.limit {
            let count = state.unfinished - self.limit + 1 + self.limit / EVICTION_SHARE;
            self.evictions.inc_by(state.evict(count, |_, _| Some(1)) as u64);
        }
        let id = state.next;
        state.next += 1;
        state.unfinished += 1;
        let since = Instant::now();
        let body = BodyState {
            kind,
            address,
            since,
            processing_since: None,
            bytes: 0,
            bytes_at_progress: 0,
            memory: 0,
            is_complete: false,
            notice: notice.clone(),
        };
        state.bodies.insert(id, body);
        drop(state);
        UnfinishedBody { unfinished_bodies: self.clone(), id, notice }
    }

    /// Closes one stream for a request of `address`: one that waits for its client, or one of an address with more streams. False if there is
    /// none.
    pub(crate) fn close_stream(&self, address: Address) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let mut streams: HashMap<Address, usize, FxBuildHasher> = HashMap::default();
        for body in state.bodies.values().filter(|body| body.kind == BodyKind::Stream && !body.is_complete) {
            *streams.entry(body.address).or_default() += 1;
        }
        let usage = |address: &Address| streams.get(address).copied().unwrap_or_default();
        let own = usage(&address).max(1);
        let may_close = |body: &BodyState| {
            body.kind == BodyKind::Stream && (body.waits_since(now, IDLE_BODY_TIMEOUT) || usage(&body.address) > own)
        };
        let count = state.evict(1, |_, body| may_close(body).then_some(1));
        drop(state);
        self.evictions.inc_by(count as u64);
        count > 0
    }

    /// Closes all bodies of which nothing arrived for `time`.
    pub(crate) fn close_waiting(&self, time: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        while state.evict(usize::MAX, |_, body| body.waits_since(now, time).then_some(1)) > 0 {}
    }

    /// Closes the oldest body of the address with the most; false if there is none.
    pub(crate) fn close_oldest(&self) -> bool {
        let count = self.state().evict(1, |_, _| Some(1));
        self.evictions.inc_by(count as u64);
        count > 0
    }
}

impl UnfinishedBody {
    /// Adds received bytes. Those of rows and lists take memory.
    ///
    /// # Errors
    /// If it was closed, or there is no memory for more.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), ApiError> {
        let mut state = self.unfinished_bodies.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(eviction_error()) };
        body.bytes += bytes as u64;
        if body.bytes - body.bytes_at_progress >= PROGRESS_BYTES {
            (body.since, body.bytes_at_progress) = (Instant::now(), body.bytes);
        }
        let takes_memory = matches!(body.kind, BodyKind::Row | BodyKind::Batch);
        drop(state);
        if takes_memory { self.hold(bytes) } else { Ok(()) }
    }

    /// Takes memory for received bytes.
    ///
    /// # Errors
    /// If it was closed, or there is no memory for more.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), ApiError> {
        let mut state = self.unfinished_bodies.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(eviction_error()) };
        body.memory += bytes as u64;
        let (is_row, address) = (body.kind == BodyKind::Row, body.address);
        let limit = if is_row { ROW_MEMORY_BYTES } else { self.unfinished_bodies.batch_bytes };
        *state.memory_of(is_row) += bytes as u64;
        if *state.memory_of(is_row) > limit
            && !state.free_memory(self.id, is_row, address, limit, &self.unfinished_bodies.evictions)
        {
            state.remove(self.id);
            return Err(ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "too many concurrent batches; retry after 1 s", 1));
        }
        Ok(())
    }

    /// Releases the memory.
    pub(crate) fn release(&self) {
        let mut state = self.unfinished_bodies.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return };
        let (memory, is_row) = (std::mem::take(&mut body.memory), body.kind == BodyKind::Row);
        *state.memory_of(is_row) -= memory;
    }

    /// Sets whether the body waits for its client, and not for processing.
    pub(crate) fn wait(&self, waits: bool) {
        let mut state = self.unfinished_bodies.state();
        let Some(body) = state.bodies.get_mut(&self.id) else { return };
        let now = Instant::now();
        if !waits {
            body.processing_since.get_or_insert(now);
        } else if let Some(begun) = body.processing_since.take() {
            body.since = (body.since + now.duration_since(begun)).min(now);
        }
    }

    /// Marks the body as complete. It keeps its memory, and is not closed any more.
    ///
    /// # Errors
    /// If it was closed just before.
    pub(crate) fn complete(&self) -> Result<(), ApiError> {
        let mut guard = self.unfinished_bodies.state();
        let state = &mut *guard;
        let Some(body) = state.bodies.get_mut(&self.id) else { return Err(eviction_error()) };
        if !body.is_complete {
            body.is_complete = true;
            state.unfinished -= 1;
        }
        Ok(())
    }

    /// The notice that it is closed.
    pub(crate) fn notice(&self) -> &Arc<EvictionNotice> {
        &self.notice
    }
}

impl Drop for UnfinishedBody {
    fn drop(&mut self) {
        self.unfinished_bodies.state().remove(self.id);
    }
}

/// The error of a body that was closed in favour of others.
pub(crate) fn eviction_error() -> ApiError {
    let message = "the body did not arrive before it was closed in favour of other requests; send head and body together";
    ApiError::busy(StatusCode::REQUEST_TIMEOUT, message, 1)
}

#[cfg(test)]
mod tests;
