//! Lines for stderr, written by a thread of their own: whoever logs does not wait for the terminal, the pipe or the disk behind it.

use std::{
    io::Write,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that wait at most; lines that come after that are lost, and counted.
const WAITING: usize = 4 << 20;
/// Lines that come within this time are written together.
const PAUSE: Duration = Duration::from_millis(5);

/// Where lines of a log go.
#[derive(Clone, Debug)]
pub struct LogSink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    /// How often the writer has written all there was.
    written: u64,
    writing: bool,
}

impl LogSink {
    /// Starts the thread that writes.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let writer = Arc::downgrade(&shared);
        thread::spawn(move || {
            while let Some(shared) = writer.upgrade() {
                shared.write_once();
                drop(shared);
                thread::sleep(PAUSE);
            }
        });
        Self { shared }
    }

    /// Adds a line; the line feed is added here.
    pub fn push(&self, line: &[u8]) {
        let mut waiting = self.shared.lock();
        if waiting.lines.len() + line.len() > WAITING {
            waiting.lost += 1;
            return;
        }
        waiting.lines.extend_from_slice(line);
        waiting.lines.push(b'\n');
        if !waiting.writing && waiting.lines.len() == line.len() + 1 {
            self.shared.changed.notify_all();
        }
    }

    /// Waits until what was added before is written, a second at most.
    pub fn flush(&self) {
        let waiting = self.shared.lock();
        let rounds = waiting.written + 1 + u64::from(waiting.writing);
        let done = |waiting: &mut Waiting| waiting.written < rounds && (waiting.writing || !waiting.lines.is_empty());
        let _ = self.shared.changed.wait_timeout_while(waiting, Duration::from_secs(1), done);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits; waits a while if nothing does.
    fn write_once(&self) {
        let mut waiting = self.lock();
        if waiting.lines.is_empty() && waiting.lost == 0 {
            let empty = |waiting: &mut Waiting| waiting.lines.is_empty();
            let found = self.changed.wait_timeout_while(waiting, Duration::from_millis(200), empty);
            waiting = found.unwrap_or_else(PoisonError::into_inner).0;
        }
        let (mut lines, lost) = (mem::take(&mut waiting.lines), mem::take(&mut waiting.lost));
        waiting.writing = true;
        drop(waiting);
        if lost > 0 {
            lines.extend(format!("{{\"level\":\"warn\",\"message\":\"{lost} lines of the log were lost\"}}\n").bytes());
        }
        let _ = std::io::stderr().write_all(&lines);
        let mut waiting = self.lock();
        waiting.writing = false;
        waiting.written += 1;
        if waiting.lines.is_empty() {
            // its room is used again
            lines.clear();
            waiting.lines = lines;
        }
        drop(waiting);
        self.changed.notify_all();
    }
}
