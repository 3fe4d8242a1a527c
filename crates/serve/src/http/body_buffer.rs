//! Collects a body in one buffer. Its pieces are not kept, because many small ones would take many times their length.

use std::collections::TryReserveError;

use axum::body::Bytes;

/// Bytes of the first buffer of a body that arrives in pieces.
const MIN_BUFFER_BYTES: usize = 1 << 14;

/// The received part of a body.
pub(crate) struct BodyBuffer {
    /// The first piece. Most bodies arrive in one, which need not be copied.
    first: Bytes,
    buffer: Vec<u8>,
    /// The maximum length, or the declared length if that is shorter.
    expected: usize,
}

impl BodyBuffer {
    /// An empty buffer for a body of at most `limit` bytes; `declared` is its length according to the head.
    pub(crate) fn new(limit: usize, declared: Option<u64>) -> Self {
        let declared = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
        Self { first: Bytes::new(), buffer: Vec::new(), expected: declared.min(limit) }
    }

    /// Bytes received.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.buffer.len()
    }

    /// Adds a piece. The buffer grows by half, up to the expected length. A large declared length alone takes no memory.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub(crate) fn add(&mut self, piece: Bytes) -> Result<(), TryReserveError> {
        if self.len() == 0 {
            self.first = piece;
            return Ok(());
        }
        let needed = self.len() + piece.len();
        if needed > self.buffer.capacity() {
            let capacity = (needed + needed / 2).max(MIN_BUFFER_BYTES).min(self.expected).max(needed);
            self.buffer.try_reserve_exact(capacity - self.buffer.len())?;
        }
        self.buffer.extend_from_slice(&std::mem::take(&mut self.first));
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }

    /// The complete body.
    pub(crate) fn finish(self) -> Bytes {
        if self.buffer.is_empty() { self.first } else { Bytes::from(self.buffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_whole_whatever_pieces_it_comes_in() {
        let text: Vec<u8> = (0..200_000_u32).map(|place| (place % 251) as u8).collect();
        for size in [1, 7, 4096, 65_536, text.len()] {
            for declared in [None, Some(text.len() as u64), Some(10), Some(u64::MAX)] {
                let mut received = BodyBuffer::new(1 << 20, declared);
                for piece in text.chunks(size) {
                    received.add(Bytes::copy_from_slice(piece)).unwrap();
                    assert!(received.buffer.capacity() <= (2 * received.len()).max(MIN_BUFFER_BYTES));
                }
                assert!(received.finish() == text, "{size} {declared:?}");
            }
        }
        assert!(BodyBuffer::new(10, None).finish().is_empty());
    }

    #[test]
    fn the_buffer_is_no_longer_than_what_is_expected() {
        let mut received = BodyBuffer::new(1 << 20, Some(100_000));
        (0..100).for_each(|_| received.add(Bytes::from(vec![0; 1000])).unwrap());
        assert_eq!((received.len(), received.buffer.capacity()), (100_000, 100_000));
    }
}
