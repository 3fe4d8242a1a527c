//! The work for a batch. It stops at the next block of rows once its request has ended. Few blocks are processed at a time.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use inference::blocks::BlockGate;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Blocks of rows that are processed at a time, of all requests together. Every thread works on every block, so that a second block only
/// fills the pauses of the first.
const MAX_CONCURRENT_BLOCKS: usize = 2;
/// The permits for blocks of rows.
#[derive(Clone, Debug)]
pub(crate) struct BlockPermits(Arc<Semaphore>);

impl Default for BlockPermits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONCURRENT_BLOCKS)))
    }
}

/// The work for one request.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    stopped: Arc<AtomicBool>,
    block_permits: BlockPermits,
}

/// Stops the work when it is dropped. The request's future holds it, and is dropped when the client leaves or the time is over.
#[derive(Debug)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The request has ended, so that its work is not needed.
#[derive(Debug)]
pub(crate) struct RequestEnded;

impl From<RequestEnded> for io::Error {
    fn from(_: RequestEnded) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, "the request has ended")
    }
}

impl Work {
    /// Starts work for a request; returns the work, and the guard that stops it.
    pub(crate) fn start(block_permits: &BlockPermits) -> (Self, StopOnDrop) {
        let stopped = Arc::new(AtomicBool::new(false));
        (Self { stopped: stopped.clone(), block_permits: block_permits.clone() }, StopOnDrop(stopped))
    }

    /// Checks that the request has not ended.
    ///
    /// # Errors
    /// If it has.
    pub(crate) fn ensure_running(&self) -> Result<(), RequestEnded> {
        if self.stopped.load(Ordering::Relaxed) { Err(RequestEnded) } else { Ok(()) }
    }
}

impl BlockGate for Work {
    type Permit = OwnedSemaphorePermit;

    fn begin_block(&self) -> io::Result<OwnedSemaphorePermit> {
        self.ensure_running()?;
        let BlockPermits(block_permits) = &self.block_permits;
        let permit = match block_permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => Handle::current().block_on(block_permits.clone().acquire_owned()).map_err(|_| RequestEnded)?,
        };
        self.ensure_running()?;
        Ok(permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_stops_with_the_request_and_blocks_take_turns() {
        let block_permits = BlockPermits::default();
        let (work, request) = Work::start(&block_permits);
        let blocks: Vec<_> = (0..MAX_CONCURRENT_BLOCKS).map(|_| work.begin_block().unwrap()).collect();
        assert_eq!((blocks.len(), block_permits.0.available_permits()), (MAX_CONCURRENT_BLOCKS, 0));
        drop(blocks);
        assert_eq!(block_permits.0.available_permits(), MAX_CONCURRENT_BLOCKS);
        drop(request);
        assert!(work.ensure_running().is_err() && work.begin_block().is_err());
        assert_eq!(block_permits.0.available_permits(), MAX_CONCURRENT_BLOCKS);
    }
}
