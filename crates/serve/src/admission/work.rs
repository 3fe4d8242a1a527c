//! The work of a batch. It stops at the next block of rows once its request has ended. Few blocks are worked on at a time.

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

/// Blocks of rows that are worked on at a time, of all requests together. Every thread takes part in every block, so that a second block
/// only fills the pauses of the first.
const BLOCKS: usize = 2;
/// The turns that blocks of rows take.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BLOCKS)))
    }
}

/// The work for one request.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    stopped: Arc<AtomicBool>,
    turns: Turns,
}

/// Stops the work when it is dropped. The future of the request holds it, and is dropped when the client leaves or the time is over.
#[derive(Debug)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The work was stopped.
#[derive(Debug)]
pub(crate) struct Stopped;

impl From<Stopped> for io::Error {
    fn from(_: Stopped) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, "the request has ended")
    }
}

impl Work {
    /// Work for a request, and what stops it.
    pub(crate) fn start(turns: &Turns) -> (Self, StopOnDrop) {
        let stopped = Arc::new(AtomicBool::new(false));
        (Self { stopped: stopped.clone(), turns: turns.clone() }, StopOnDrop(stopped))
    }

    /// Checks that the request has not ended.
    ///
    /// # Errors
    /// If it has.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.stopped.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}

impl BlockGate for Work {
    type Permit = OwnedSemaphorePermit;

    fn begin_block(&self) -> io::Result<OwnedSemaphorePermit> {
        self.check()?;
        let Turns(turns) = &self.turns;
        let turn = match turns.clone().try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => Handle::current().block_on(turns.clone().acquire_owned()).map_err(|_| Stopped)?,
        };
        self.check()?;
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_stops_with_the_request_and_blocks_take_turns() {
        let turns = Turns::default();
        let (work, request) = Work::start(&turns);
        let blocks: Vec<_> = (0..BLOCKS).map(|_| work.begin_block().unwrap()).collect();
        assert_eq!((blocks.len(), turns.0.available_permits()), (BLOCKS, 0));
        drop(blocks);
        assert_eq!(turns.0.available_permits(), BLOCKS);
        drop(request);
        assert!(work.check().is_err() && work.begin_block().is_err());
        assert_eq!(turns.0.available_permits(), BLOCKS);
    }
}
