//! The memory of the Arrow message that a table is at. A long message is collected as it comes and counts as the body of a batch does; memory for
//! what is made of it is reserved once it is whole.

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
        memory_budget::{Reservation, SMALL_MESSAGE, message_cost},
        unfinished_bodies::{Arrival, Sender},
    },
    http::body_buffer::BodyBuffer,
    state::AppState,
};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 18;

/// The memory of the message that a table is at.
#[derive(Default)]
pub(crate) struct MessageMemory {
    /// The table whose messages are counted; none where nothing is.
    table: Option<(&'static AppState, Address, Arc<Arrival>)>,
    reserved: Option<Reservation>,
}

impl MessageMemory {
    /// Counts the messages of a table that is sent.
    pub(crate) fn new(app: &'static AppState, sender: &Sender) -> Self {
        Self { table: sender.table.clone().map(|arrival| (app, sender.address, arrival)), reserved: None }
    }
}

impl MessageBuffer for MessageMemory {
    fn release(&mut self) {
        self.reserved = None;
        if let Some((_, _, arrival)) = &self.table {
            arrival.release();
        }
    }

    fn collect(&mut self, input: &mut impl Read, length: u64) -> io::Result<Bytes> {
        if length <= SMALL_MESSAGE {
            return Ok(Bytes::new());
        }
        let mut message = BodyBuffer::new(usize::try_from(MAX_MESSAGE_BYTES).unwrap_or(usize::MAX), Some(length));
        let mut left = length;
        while left > 0 {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = input.take(left.min(CHUNK as u64)).read_to_end(&mut chunk)?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ends within a batch"));
            }
            if let Some((_, _, arrival)) = &self.table {
                arrival.hold(read).map_err(|_| held_by_others())?;
            }
            message.add(Bytes::from(chunk)).map_err(|_| held_by_others())?;
            left -= read as u64;
        }
        if let Some((app, address, _)) = &self.table {
            let reserved = Handle::current().block_on(app.permits.reserve_message(message_cost(length), *address));
            self.reserved = Some(reserved.map_err(|_| held_by_others())?);
        }
        Ok(message.finish())
    }
}

fn held_by_others() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "other requests hold the memory for a batch of this length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_collected_and_short_ones_are_not() {
        let long = vec![7; 3 * CHUNK + 5];
        let mut memory = MessageMemory::default();
        let mut input = &long[..];
        assert!(memory.collect(&mut input, SMALL_MESSAGE).unwrap().is_empty());
        assert_eq!(input.len(), long.len());
        assert!(memory.collect(&mut input, long.len() as u64).unwrap() == long);
        assert!(input.is_empty());
        let error = memory.collect(&mut &long[..], long.len() as u64 + 1).unwrap_err();
        assert_eq!(error.to_string(), "the stream ends within a batch");
    }
}
