//! Permits and memory for batches, streams and rows. A request waits for them briefly, and is rejected otherwise.

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
        memory_budget::{self, MemoryBudget, Reservation},
        unfinished_bodies::UnfinishedBodies,
    },
    http::error::ApiError,
    server::connection::Connections,
};

/// Streams that may be received at a time, per batch slot.
pub(crate) const STREAMS_PER_BATCH_SLOT: usize = 8;
/// How long a batch waits for a slot.
const BATCH_SLOT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a received Arrow message waits for memory while its predecessors are processed.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that has read nothing of its response for this long may lose its connection to other requests.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// The permits and the memory of all requests.
pub(crate) struct Permits {
    batches: Arc<Semaphore>,
    /// Streams are received as slowly as their clients send, so that they do not use the slots of batches.
    streams: Arc<Semaphore>,
    memory: MemoryBudget,
    unfinished_bodies: Arc<UnfinishedBodies>,
    connections: Arc<Connections>,
    /// Rejected requests.
    rejections: Counter,
}

impl Permits {
    /// Permits for `batches` concurrent batches.
    pub(crate) fn new(
        batches: usize,
        memory: MemoryBudget,
        unfinished_bodies: Arc<UnfinishedBodies>,
        connections: Arc<Connections>,
        rejections: Counter,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_PER_BATCH_SLOT * batches));
        Self { batches: Arc::new(Semaphore::new(batches)), streams, memory, unfinished_bodies, connections, rejections }
    }

    /// Acquires a batch slot, which is held until the response is sent. It may close a client that does not read its response.
    ///
    /// # Errors
    /// If all slots stay in use.
    pub(crate) async fn acquire_batch_slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.acquire(&self.batches, || self.connections.close_stalled(STALL_TIMEOUT, true)).await
    }

    /// Acquires a stream slot for `address`, which is held until the response is sent. It may close a stalled stream.
    ///
    /// # Errors
    /// If all slots stay in use.
    pub(crate) async fn acquire_stream_slot(&self, address: Address) -> Result<OwnedSemaphorePermit, ApiError> {
        let give_way =
            || self.unfinished_bodies.close_stream(address) || self.connections.close_stalled(STALL_TIMEOUT, true);
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

    /// Reserves `bytes` of memory for a request of `address`. It may close a stalled stream, or a client that does not read its response.
    ///
    /// # Errors
    /// If other requests keep the memory.
    pub(crate) async fn reserve(&self, bytes: u64, address: Address) -> Result<Reservation, ApiError> {
        self.reserve_within(BATCH_SLOT_TIMEOUT, bytes, address).await
    }

    /// Reserves `bytes` of memory for the copies of an Arrow message.
    ///
    /// # Errors
    /// If other requests keep the memory.
    pub(crate) async fn reserve_message(&self, bytes: u64, address: Address) -> Result<Reservation, ApiError> {
        self.reserve_within(MESSAGE_TIMEOUT, bytes, address).await
    }

    /// Reserves memory for the body of a single row of `body` bytes, if it is large enough to count.
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
        let _ = self.unfinished_bodies.close_stream(address) || self.connections.close_stalled(STALL_TIMEOUT, true);
        match timeout(time, self.memory.reserve_when_free(bytes)).await {
            Ok(Some(reservation)) => Ok(reservation),
            _ => Err(self.overloaded()),
        }
    }

    /// The error where other requests use all permits or memory.
    pub(crate) fn overloaded(&self) -> ApiError {
        self.rejections.inc();
        ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "too many concurrent batches; retry after 1 s", 1)
    }
}
