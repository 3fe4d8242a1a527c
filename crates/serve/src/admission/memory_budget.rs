//! The memory that requests may use together, besides their bodies (which `unfinished_bodies` counts). It is reserved before the work
//! begins, and released when the response is sent or the work has ended.

use std::sync::Arc;

use predictor::Prediction;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes for all requests: 17 tables, or the longest Arrow message and six tables. A larger request of tensors raises it.
const BUDGET_BYTES: u64 = 17 * (TABLE_BYTES + MEMORY_PERMIT_BYTES);
/// Bytes of a response that are kept in memory; the rest is stored on disk.
pub(crate) const RESPONSE_MEMORY_BYTES: usize = 4 << 20;
const MEMORY_PERMIT_BYTES: u64 = 1024;
/// Bytes of a table: blocks of rows, the longest record, the first bytes of the response.
const TABLE_BYTES: u64 = 12 << 20;
/// Bytes of one tensor element in memory, and of one prediction.
const ELEMENT_BYTES: u64 = 9;
const PREDICTION_BYTES: u64 = size_of::<Prediction>() as u64;
/// Single rows up to this length are not counted: `--max-in-flight` bounds their number.
const SMALL_ROW_BYTES: u64 = 16 << 10;
/// The maximum number of copies of an Arrow message besides the received one: as it is read, and aligned.
const MAX_MESSAGE_COPIES: u64 = 2;
/// Arrow messages up to this length are included in [`TABLE_BYTES`].
pub(crate) const SMALL_MESSAGE_BYTES: u64 = 512 << 10;

/// Memory that is reserved for a request.
pub(crate) type Reservation = OwnedSemaphorePermit;

/// The memory of all requests, in permits of [`MEMORY_PERMIT_BYTES`].
#[derive(Clone, Debug)]
pub(crate) struct MemoryBudget(Arc<Semaphore>);

impl MemoryBudget {
    /// The budget for bodies of at most `longest_body` bytes, whose tensors have at most `rows` rows of `fields` fields.
    pub(crate) fn new(longest_body: usize, rows: usize, fields: usize) -> Self {
        let largest = BUDGET_BYTES.max(tensors_cost(longest_body as u64, rows, fields));
        Self(Arc::new(Semaphore::new(permits(largest) as usize)))
    }

    /// Reserves memory, if enough is free.
    pub(crate) fn reserve(&self, bytes: u64) -> Option<Reservation> {
        self.0.clone().try_acquire_many_owned(permits(bytes)).ok()
    }

    /// Reserves memory when enough is free.
    pub(crate) async fn reserve_when_free(&self, bytes: u64) -> Option<Reservation> {
        self.0.clone().acquire_many_owned(permits(bytes)).await.ok()
    }
}

/// Reduces a reservation to the share of the response, when the work is done.
pub(crate) fn keep_response_share(mut reservation: Reservation) -> Reservation {
    let share = (permits(RESPONSE_MEMORY_BYTES as u64) as usize).min(reservation.num_permits());
    reservation.split(share).unwrap_or(reservation)
}

/// Bytes for the response to a list of rows. The rows are read in blocks.
pub(crate) fn list_cost() -> u64 {
    RESPONSE_MEMORY_BYTES as u64
}

/// Bytes for a request of tensors with at most `rows` rows of `fields` fields: its columns, predictions and the response. Texts take the
/// length of the body. An element takes at least two bytes of the body.
pub(crate) fn tensors_cost(body: u64, rows: usize, fields: usize) -> u64 {
    let most = |count: usize| (count as u64).min(body / 2);
    body + most(rows.saturating_mul(fields)) * ELEMENT_BYTES + most(rows) * PREDICTION_BYTES + RESPONSE_MEMORY_BYTES as u64
}

/// Bytes for a streamed table, with the memory of its decoder.
pub(crate) fn table_cost(decoder_memory: usize) -> u64 {
    TABLE_BYTES + decoder_memory as u64
}

/// Bytes of the body of a single row, if they count.
pub(crate) fn row_cost(body: u64) -> Option<u64> {
    (body > SMALL_ROW_BYTES).then_some(body)
}

/// Bytes for the copies of an Arrow message of this length.
pub(crate) fn message_cost(length: u64) -> u64 {
    MAX_MESSAGE_COPIES * length
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes / MEMORY_PERMIT_BYTES + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use inference::formats::arrow_validation::MAX_MESSAGE_BYTES;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_a_request_costs_is_reserved_and_given_back() {
        let memory = MemoryBudget::new(1 << 20, 500_000, 6);
        assert_eq!(memory.0.available_permits() as u64 * MEMORY_PERMIT_BYTES, BUDGET_BYTES + MEMORY_PERMIT_BYTES);
        let cost = tensors_cost(40 * MIB, 1_000_000, 6);
        assert_eq!(cost, 40 * MIB + 9 * 6_000_000 + 32 * 1_000_000 + RESPONSE_MEMORY_BYTES as u64);
        assert_eq!(tensors_cost(40 * MIB, usize::MAX, 6), 40 * MIB + 20 * MIB * (9 + 32) + RESPONSE_MEMORY_BYTES as u64);
        let cost = 110 * MIB;
        let held = memory.reserve(cost).unwrap();
        assert!(memory.reserve(cost).is_none());
        let answer = keep_response_share(held);
        assert!(memory.reserve(BUDGET_BYTES - 2 * RESPONSE_MEMORY_BYTES as u64).is_some());
        assert!(memory.reserve(BUDGET_BYTES).is_none());
        drop(answer);
        assert!(memory.reserve(BUDGET_BYTES).is_some());
    }

    #[test]
    fn the_largest_request_fits_whatever_the_limits_are() {
        for longest in [1, 1_usize << 30] {
            let memory = MemoryBudget::new(longest, usize::MAX, 6);
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
