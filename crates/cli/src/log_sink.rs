//! Asynchronous writing of log lines to stderr, so that logging never waits for a terminal, pipe or disk.

use std::{
    io::Write,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Largest number of queued bytes; further lines are dropped and counted.
const MAX_QUEUED_BYTES: usize = 4 << 20;
/// Time in which lines are collected for one write.
const BATCH_INTERVAL: Duration = Duration::from_millis(5);

/// A queue of log lines with its writing thread.
#[derive(Clone, Debug)]
pub struct LogSink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    dropped: u64,
    /// Number of times that the writer has written the whole queue.
    written: u64,
    writing: bool,
}

impl LogSink {
    /// Starts the writing thread.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let writer = Arc::downgrade(&shared);
        thread::spawn(move || {
            while let Some(shared) = writer.upgrade() {
                shared.write_once();
                drop(shared);
                thread::sleep(BATCH_INTERVAL);
            }
        });
        Self { shared }
    }

    /// Queues a line; a line feed is added.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.shared.lock();
        if queue.lines.len() + line.len() > MAX_QUEUED_BYTES {
            queue.dropped += 1;
            return;
        }
        queue.lines.extend_from_slice(line);
        queue.lines.push(b'\n');
        if !queue.writing && queue.lines.len() == line.len() + 1 {
            self.shared.changed.notify_all();
        }
    }

    /// Waits until all queued lines are written, for at most one second.
    pub fn flush(&self) {
        let queue = self.shared.lock();
        let rounds = queue.written + 1 + u64::from(queue.writing);
        let unfinished = |queue: &mut Queue| queue.written < rounds && (queue.writing || !queue.lines.is_empty());
        let _ = self.shared.changed.wait_timeout_while(queue, Duration::from_secs(1), unfinished);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the queued lines; waits for a while if there are none.
    fn write_once(&self) {
        let mut queue = self.lock();
        if queue.lines.is_empty() && queue.dropped == 0 {
            let empty = |queue: &mut Queue| queue.lines.is_empty();
            let result = self.changed.wait_timeout_while(queue, Duration::from_millis(200), empty);
            queue = result.unwrap_or_else(PoisonError::into_inner).0;
        }
        let (mut lines, dropped) = (mem::take(&mut queue.lines), mem::take(&mut queue.dropped));
        queue.writing = true;
        drop(queue);
        if dropped > 0 {
            lines.extend(format!("{{\"level\":\"warn\",\"message\":\"{dropped} log lines were dropped\"}}\n").bytes());
        }
        let _ = std::io::stderr().write_all(&lines);
        let mut queue = self.lock();
        queue.writing = false;
        queue.written += 1;
        if queue.lines.is_empty() {
            // the allocated memory is reused
            lines.clear();
            queue.lines = lines;
        }
        drop(queue);
        self.changed.notify_all();
    }
}
