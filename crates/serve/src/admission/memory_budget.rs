//! The memory that the work for requests may hold together, beside their bodies (those are counted by `arrivals`). It is reserved before the
//! work begins. It is given back when the answer is sent, or the work has really ended.

use std::sync::Arc;

use predictor::Prediction;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that the work for requests may hold together, or those of the largest request of tensors: 17 tables, or the longest Arrow message and six.
const BUDGET: u64 = 17 * (TABLE + UNIT);
/// Bytes of an answer that are kept in memory; the rest of it is on the disk.
pub(crate) const ANSWER_IN_MEMORY: usize = 4 << 20;
const UNIT: u64 = 1024;
/// Bytes of a table under way: blocks of rows, a record of the longest, the answer's first bytes.
const TABLE: u64 = 12 << 20;
/// Bytes of one element of a tensor in memory, and of one prediction.
const ELEMENT: u64 = 9;
const PREDICTION: u64 = size_of::<Prediction>() as u64;
/// Bodies of single rows up to this length cost nothing: there are as many as requests may be under way.
const SMALL_ROW: u64 = 16 << 10;
/// Copies of an Arrow message that exist at most beside the one that came: as it is read, and aligned.
const MESSAGE_COPIES: u64 = 2;
/// Arrow messages up to this length are part of [`TABLE`].
pub(crate) const SMALL_MESSAGE: u64 = 512 << 10;

/// Memory that belongs to a request.
pub(crate) type Reservation = OwnedSemaphorePermit;

/// The memory of all requests, in units of [`UNIT`].
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Memory {
    /// Memory for requests whose bodies are as long as `longest_body` at most, and whose tensors have so many rows of so many fields at most.
    pub(crate) fn new(longest_body: usize, rows: usize, fields: usize) -> Self {
        let largest = BUDGET.max(tensors_cost(longest_body as u64, rows, fields));
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
    let kept = (units(ANSWER_IN_MEMORY as u64) as usize).min(whole.num_permits());
    whole.split(kept).unwrap_or(whole)
}

/// Bytes for the answer to a list of rows: its beginning. The rows are read a block at a time.
pub(crate) fn list_cost() -> u64 {
    ANSWER_IN_MEMORY as u64
}

/// Bytes for the columns of a body of tensors with so many rows of so many fields at most, for their predictions, and for the answer's
/// beginning. Texts take the length of the body. An element takes at least two bytes of the body.
pub(crate) fn tensors_cost(body: u64, rows: usize, fields: usize) -> u64 {
    let most = |count: usize| (count as u64).min(body / 2);
    body + most(rows.saturating_mul(fields)) * ELEMENT + most(rows) * PREDICTION + ANSWER_IN_MEMORY as u64
}

/// Bytes for a table that comes as a stream, of which decoding takes `decoder_memory`.
pub(crate) fn table_cost(decoder_memory: usize) -> u64 {
    TABLE + decoder_memory as u64
}

/// Bytes of the body of a single row, where they count.
pub(crate) fn row_cost(body: u64) -> Option<u64> {
    (body > SMALL_ROW).then_some(body)
}

/// Bytes for what is made of an Arrow message of this length.
pub(crate) fn message_cost(length: u64) -> u64 {
    MESSAGE_COPIES * length
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use inference::formats::arrow_validation::MAX_MESSAGE_BYTES;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_a_request_costs_is_reserved_and_given_back() {
        let memory = Memory::new(1 << 20, 500_000, 6);
        assert_eq!(memory.0.available_permits() as u64 * UNIT, BUDGET + UNIT);
        let cost = tensors_cost(40 * MIB, 1_000_000, 6);
        assert_eq!(cost, 40 * MIB + 9 * 6_000_000 + 32 * 1_000_000 + ANSWER_IN_MEMORY as u64);
        assert_eq!(tensors_cost(40 * MIB, usize::MAX, 6), 40 * MIB + 20 * MIB * (9 + 32) + ANSWER_IN_MEMORY as u64);
        let cost = 110 * MIB;
        let held = memory.reserve(cost).unwrap();
        assert!(memory.reserve(cost).is_none());
        let answer = of_answer(held);
        assert!(memory.reserve(BUDGET - 2 * ANSWER_IN_MEMORY as u64).is_some());
        assert!(memory.reserve(BUDGET).is_none());
        drop(answer);
        assert!(memory.reserve(BUDGET).is_some());
    }

    #[test]
    fn the_largest_request_fits_whatever_the_limits_are() {
        for longest in [1, 1_usize << 30] {
            let memory = Memory::new(longest, usize::MAX, 6);
            assert!(memory.reserve(tensors_cost(longest as u64, usize::MAX, 6)).is_some());
            let table = memory.reserve(table_cost(0));
            assert!(table.is_some() && memory.reserve(message_cost(MAX_MESSAGE_BYTES)).is_some());
        }
    }

    #[test]
    fn small_rows_cost_nothing() {
        assert_eq!(row_cost(200), None);
        assert_eq!(row_cost(100_000), Some(100_000));
    }
}
