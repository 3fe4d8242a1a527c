//! The work of a batch. It stops at the next block of rows once its request has ended. Few blocks are worked on at a time.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Blocks of rows that are worked on at a time, of all requests together. Every thread takes part in every block, so that a second block
/// only fills the pauses of the first.
const BLOCKS: usize = 2;
/// Cells (rows times fields) that one task of a block reads, judges and predicts at most.
const CELLS_PER_TASK: usize = 8192;
/// Bounds of the rows of a task: as few as this where a row is wide, as many where it is narrow.
const ROWS_PER_TASK: (usize, usize) = (16, 1024);
/// Tasks of a block for each thread: a thread that has none left waits for the others at the end of a block.
const TASKS_PER_THREAD: usize = 16;

/// Rows of so many fields that one task works on at most.
pub(crate) fn rows_per_task(fields: usize) -> usize {
    let (fewest, most) = ROWS_PER_TASK;
    (CELLS_PER_TASK / fields.max(1)).clamp(fewest, most)
}

/// Tasks of one block.
pub(crate) fn tasks_per_block() -> usize {
    TASKS_PER_THREAD * rayon::current_num_threads()
}

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
    turns: Option<Turns>,
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
        (Self { stopped: stopped.clone(), turns: Some(turns.clone()) }, StopOnDrop(stopped))
    }

    /// Work that nothing stops and that shares the threads with no other.
    pub(crate) fn alone() -> Self {
        Self { stopped: Arc::default(), turns: None }
    }

    /// Waits for the turn of the next block, on a thread that may block.
    ///
    /// # Errors
    /// If the request has ended.
    pub(crate) fn begin_block(&self) -> Result<Option<OwnedSemaphorePermit>, Stopped> {
        self.check()?;
        let Some(Turns(turns)) = &self.turns else { return Ok(None) };
        let turn = match turns.clone().try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => Handle::current().block_on(turns.clone().acquire_owned()).map_err(|_| Stopped)?,
        };
        self.check()?;
        Ok(Some(turn))
    }

    /// Checks that the request has not ended.
    ///
    /// # Errors
    /// If it has.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.stopped.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
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
        assert!(Work::alone().begin_block().unwrap().is_none());
    }

    #[test]
    fn wide_rows_are_taken_in_smaller_tasks() {
        assert_eq!([1, 6, 8, 64, 512, 100_000].map(rows_per_task), [1024, 1024, 1024, 128, 16, 16]);
    }
}
