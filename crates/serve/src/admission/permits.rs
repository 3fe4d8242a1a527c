//! Permits and memory for the work of requests: batches, streams and rows wait for them for a moment, and are refused then.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    admission::{
        address::Address,
        memory_budget::{self, Memory, Reservation},
        unfinished_bodies::Arrivals,
    },
    http::error::ApiError,
    server::connection::Connections,
};

/// Streams that may be received at a time, for each batch that may be worked on.
pub(crate) const STREAMS_PER_BATCH_SLOT: usize = 8;
/// How long a batch waits for a slot.
const BATCH_SLOT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long an Arrow message that was received waits for memory, while those before it are worked on.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that received no byte of its answer for this long loses its connection to other requests.
pub(crate) const STALLED: Duration = Duration::from_secs(1);

/// The permits and the memory of all requests.
pub(crate) struct Permits {
    batches: Arc<Semaphore>,
    /// Streams are received as slowly as their clients send, so that they do not share the slots of batches.
    streams: Arc<Semaphore>,
    memory: Memory,
    arrivals: Arc<Arrivals>,
    connections: Arc<Connections>,
    /// Requests that were refused.
    refused: Counter,
}

impl Permits {
    /// Permits for `batches` batches at a time.
    pub(crate) fn new(
        batches: usize,
        memory: Memory,
        arrivals: Arc<Arrivals>,
        connections: Arc<Connections>,
        refused: Counter,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_PER_BATCH_SLOT * batches));
        Self { batches: Arc::new(Semaphore::new(batches)), streams, memory, arrivals, connections, refused }
    }

    /// Acquires the slot of a batch, to be held until the answer is sent. A client that does not receive its own answer gives way.
    ///
    /// # Errors
    /// If all slots stay in use.
    pub(crate) async fn acquire_batch_slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.acquire(&self.batches, || self.connections.close_stalled(STALLED, true)).await
    }

    /// Acquires the slot of a stream of `address`, to be held until the answer is sent. A stream that stands still gives way.
    ///
    /// # Errors
    /// If all slots stay in use.
    pub(crate) async fn acquire_stream_slot(&self, address: Address) -> Result<OwnedSemaphorePermit, ApiError> {
        let give_way = || self.arrivals.close_stream(address) || self.connections.close_stalled(STALLED, true);
        self.acquire(&self.streams, give_way).await
    }

    async fn acquire(
        &self,
        slots: &Arc<Semaphore>,
        give_way: impl FnOnce() -> bool,
    ) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        give_way();
        match timeout(BATCH_SLOT_TIMEOUT, slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(self.overloaded()),
        }
    }

    /// Reserves `bytes` of memory for a request of `address`. A stream or an answer that waits for its client gives way.
    ///
    /// # Errors
    /// If other requests keep the memory.
    pub(crate) async fn reserve(&self, bytes: u64, address: Address) -> Result<Reservation, ApiError> {
        self.reserve_within(BATCH_SLOT_TIMEOUT, bytes, address).await
    }

    /// Reserves `bytes` of memory for what is made of an Arrow message.
    ///
    /// # Errors
    /// If other requests keep the memory.
    pub(crate) async fn reserve_message(&self, bytes: u64, address: Address) -> Result<Reservation, ApiError> {
        self.reserve_within(MESSAGE_TIMEOUT, bytes, address).await
    }

    /// Reserves memory for the body of a single row, of `body` bytes, where it is large enough to count.
    ///
    /// # Errors
    /// If other requests hold the memory.
    pub(crate) fn reserve_row(&self, body: usize) -> Result<Option<Reservation>, ApiError> {
        let reserve = |cost| self.memory.reserve(cost).ok_or_else(|| self.overloaded());
        memory_budget::row_cost(body as u64).map(reserve).transpose()
    }

    async fn reserve_within(&self, time: Duration, bytes: u64, address: Address) -> Result<Reservation, ApiError> {
        if let Some(reservation) = self.memory.reserve(bytes) {
            return Ok(reservation);
        }
        let _ = self.arrivals.close_stream(address) || self.connections.close_stalled(STALLED, true);
        match timeout(time, self.memory.wait(bytes)).await {
            Ok(Some(reservation)) => Ok(reservation),
            _ => Err(self.overloaded()),
        }
    }

    /// The refusal where other requests use all that there is.
    pub(crate) fn overloaded(&self) -> ApiError {
        self.refused.inc();
        ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "too many concurrent batches; retry after 1 s", 1)
    }
}
