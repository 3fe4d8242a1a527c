//! Blocks of rows: how many rows a task and a block have, and when a block may begin.

use std::io;

/// Cells (rows times fields) that one task of a block reads, validates and predicts at most.
const CELLS_PER_TASK: usize = 8192;
/// Bounds of the rows of a task: the lower one for wide rows, the upper one for narrow rows.
const ROWS_PER_TASK: (usize, usize) = (16, 1024);
/// Tasks of a block for each thread. A thread without a task waits for the others at the end of a block.
const TASKS_PER_THREAD: usize = 16;

/// Decides when the next block of rows may begin. A server lets the blocks of its requests take turns, and ends work that nobody waits for.
pub trait BlockGate {
    /// Held while a block is worked on.
    type Permit;

    /// Waits until the next block may begin.
    ///
    /// # Errors
    /// If the result is no longer wanted.
    fn begin_block(&self) -> io::Result<Self::Permit>;
}

/// For a program that shares its threads with no other work: every block begins at once.
impl BlockGate for () {
    type Permit = ();

    fn begin_block(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The number of rows with `fields` fields that one task works on at most.
pub fn rows_per_task(fields: usize) -> usize {
    let (fewest, most) = ROWS_PER_TASK;
    (CELLS_PER_TASK / fields.max(1)).clamp(fewest, most)
}

/// The number of tasks of one block.
pub fn tasks_per_block() -> usize {
    TASKS_PER_THREAD * rayon::current_num_threads()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_rows_are_taken_in_smaller_tasks() {
        assert_eq!([1, 6, 8, 64, 512, 100_000].map(rows_per_task), [1024, 1024, 1024, 128, 16, 16]);
    }
}
