//! The memory of the current Arrow message of a table. A long message counts like the body of a batch while it arrives. Memory for its
//! copies is reserved once it is complete.

use std::{
    io::{self, Read},
    sync::Arc,
};

use axum::body::Bytes;
use inference::formats::arrow_validation::{MAX_MESSAGE_BYTES, MessageBuffer};
use tokio::runtime::Handle;

use crate::{
    admission::{
        address::Address,
        memory_budget::{Reservation, SMALL_MESSAGE_BYTES, message_cost},
        unfinished_bodies::{RequestClient, UnfinishedBody},
    },
    http::body_buffer::BodyBuffer,
    state::AppState,
};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// The memory of the current message of a table.
#[derive(Default)]
pub(crate) struct MessageMemory {
    /// The table whose messages are counted; none if nothing is counted.
    table: Option<(&'static AppState, Address, Arc<UnfinishedBody>)>,
    reserved: Option<Reservation>,
}

impl MessageMemory {
    /// Counts the messages of the client's table.
    pub(crate) fn new(app: &'static AppState, client: &RequestClient) -> Self {
        let table = client.table.as_ref().map(|table| (app, client.address, table.body.clone()));
        Self { table, reserved: None }
    }
}

impl MessageBuffer for MessageMemory {
    fn release(&mut self) {
        self.reserved = None;
        if let Some((_, _, unfinished)) = &self.table {
            unfinished.release();
        }
    }

    fn collect(&mut self, input: &mut impl Read, length: u64) -> io::Result<Bytes> {
        if length <= SMALL_MESSAGE_BYTES {
            return Ok(Bytes::new());
        }
        let mut message = BodyBuffer::new(usize::try_from(MAX_MESSAGE_BYTES).unwrap_or(usize::MAX), Some(length));
        let mut left = length;
        while left > 0 {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let read = input.take(left.min(CHUNK_BYTES as u64)).read_to_end(&mut chunk)?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ends inside a batch"));
            }
            if let Some((_, _, unfinished)) = &self.table {
                unfinished.hold(read).map_err(|_| memory_error())?;
            }
            message.add(Bytes::from(chunk)).map_err(|_| memory_error())?;
            left -= read as u64;
        }
        if let Some((app, address, _)) = &self.table {
            let reserved = Handle::current().block_on(app.permits.reserve_message(message_cost(length), *address));
            self.reserved = Some(reserved.map_err(|_| memory_error())?);
        }
        Ok(message.finish())
    }
}

fn memory_error() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "other requests use the memory for a batch of this length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_collected_and_short_ones_are_not() {
        let long = vec![7; 3 * CHUNK_BYTES + 5];
        let mut memory = MessageMemory::default();
        let mut input = &long[..];
        assert!(memory.collect(&mut input, SMALL_MESSAGE_BYTES).unwrap().is_empty());
        assert_eq!(input.len(), long.len());
        assert!(memory.collect(&mut input, long.len() as u64).unwrap() == long);
        assert!(input.is_empty());
        let error = memory.collect(&mut &long[..], long.len() as u64 + 1).unwrap_err();
        assert_eq!(error.to_string(), "the stream ends inside a batch");
    }
}
