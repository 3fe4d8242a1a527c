//! The memory that the work for requests may hold together, beside their bodies (those are counted by `arrivals`). It is reserved before the
//! work begins. It is given back when the answer is sent, or the work has really ended.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{arrow_guard, spool};

/// Bytes that the work for requests may hold together: those of a table with the longest Arrow message, or of the largest tensors.
const BUDGET: u64 = MESSAGE_COPIES * arrow_guard::BODY + TABLE + UNIT;
const UNIT: u64 = 1024;
/// Bytes of a table under way: blocks of rows, a record of the longest, the answer's first bytes.
const TABLE: u64 = 12 << 20;
/// Bytes of one element of a tensor in memory.
const ELEMENT: u64 = 9;
/// Bodies of single rows up to this length cost nothing: there are as many as requests may be under way.
const SMALL_ROW: u64 = 16 << 10;
/// Copies of an Arrow message that exist at most: as it came, aligned, and written in a buffer that doubles.
const MESSAGE_COPIES: u64 = 5;
/// Arrow messages up to this length are part of [`TABLE`].
const SMALL_MESSAGE: u64 = 512 << 10;
/// How long an Arrow message waits until others have been worked on.
const MESSAGE_WAIT: Duration = Duration::from_secs(5);

/// Memory that belongs to a request.
pub(crate) type Reservation = OwnedSemaphorePermit;

/// The memory of all requests, in units of [`UNIT`].
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    /// Memory for requests whose bodies are as long as `longest_body` at most, and whose tensors have `elements` at most.
    pub(crate) fn new(longest_body: usize, elements: u64) -> Self {
        let largest = BUDGET.max(tensors_cost(longest_body as u64, elements));
        Self(Arc::new(Semaphore::new(units(largest) as usize)))
    }

    /// Reserves memory, if there is enough left.
    pub(crate) fn reserve(&self, bytes: u64) -> Option<Reservation> {
        self.0.clone().try_acquire_many_owned(units(bytes)).ok()
    }

    /// Reserves memory once there is enough left.
    pub(crate) async fn wait(&self, bytes: u64) -> Option<Reservation> {
        self.0.clone().acquire_many_owned(units(bytes)).await.ok()
    }
}

/// What is left of a reservation when the work is done: that of the answer.
pub(crate) fn of_answer(mut whole: Reservation) -> Reservation {
    let kept = (units(spool::IN_MEMORY as u64) as usize).min(whole.num_permits());
    whole.split(kept).unwrap_or(whole)
}

/// Bytes for the answer to a list of rows: its beginning. The rows are read a block at a time.
pub(crate) fn list_cost() -> u64 {
    spool::IN_MEMORY as u64
}

/// Bytes for the columns of a body of tensors with `elements` elements at most, and for the answer's beginning. Texts take the length of the
/// body. An element takes at least two bytes of the body.
pub(crate) fn tensors_cost(body: u64, elements: u64) -> u64 {
    body + elements.min(body / 2) * ELEMENT + spool::IN_MEMORY as u64
}

/// Bytes for a table that comes as a stream.
pub(crate) fn table_cost() -> u64 {
    TABLE
}

/// Bytes of the body of a single row, where they count.
pub(crate) fn row_cost(body: u64) -> Option<u64> {
    (body > SMALL_ROW).then_some(body)
}

fn message_cost(length: u64) -> u64 {
    MESSAGE_COPIES * length
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX)
}

/// The memory of the Arrow message that a table is at.
#[derive(Debug, Default)]
pub(crate) struct MessageMemory {
    memory: Option<Memory>,
    held: Option<Reservation>,
}

impl MessageMemory {
    /// Takes from the memory of all requests.
    pub(crate) fn of(memory: &Memory) -> Self {
        Self { memory: Some(memory.clone()), held: None }
    }

    /// Holds memory for a message of this length, and no longer for the one before. Waits, on a thread that may block.
    ///
    /// # Errors
    /// If other requests hold it.
    pub(crate) fn hold(&mut self, length: u64) -> io::Result<()> {
        self.held = None;
        let Some(memory) = self.memory.as_ref().filter(|_| length > SMALL_MESSAGE) else { return Ok(()) };
        let wait = async { timeout(MESSAGE_WAIT, memory.wait(message_cost(length))).await };
        match Handle::current().block_on(wait) {
            Ok(Some(held)) => {
                self.held = Some(held);
                Ok(())
            }
            _ => {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "other requests hold the memory for a batch of this length"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_a_request_costs_is_reserved_and_given_back() {
        let memory = Memory::new(1 << 20, 3_000_000);
        assert_eq!(memory.0.available_permits() as u64 * UNIT, BUDGET + UNIT);
        let cost = tensors_cost(40 * MIB, u64::MAX);
        assert_eq!(cost, 220 * MIB + spool::IN_MEMORY as u64);
        let held = memory.reserve(cost).unwrap();
        assert!(memory.reserve(cost).is_none());
        let answer = of_answer(held);
        assert!(memory.reserve(BUDGET - 2 * spool::IN_MEMORY as u64).is_some());
        assert!(memory.reserve(BUDGET).is_none());
        drop(answer);
        assert!(memory.reserve(BUDGET).is_some());
    }

    #[test]
    fn the_largest_request_fits_whatever_the_limits_are() {
        for longest in [1, 1_usize << 30] {
            let memory = Memory::new(longest, u64::MAX);
            assert!(memory.reserve(tensors_cost(longest as u64, u64::MAX)).is_some());
            let table = memory.reserve(table_cost());
            assert!(table.is_some() && memory.reserve(message_cost(arrow_guard::BODY)).is_some());
        }
    }

    #[test]
    fn small_rows_cost_nothing() {
        assert_eq!(row_cost(200), None);
        assert_eq!(row_cost(100_000), Some(100_000));
    }
}
