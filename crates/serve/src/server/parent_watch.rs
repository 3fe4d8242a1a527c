//! Stops the server with the program that started it (`--stop-with-stdin`).
//!
//! The other program holds the write end of a pipe that is the server's standard input. The system closes it when that program ends. No
//! process id needs to be trusted or polled.

use std::{
    io,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use tokio::sync::watch;

/// Waits for the end of standard input.
#[derive(Debug)]
pub(crate) struct ParentWatch {
    /// Whether the server runs and can be stopped.
    is_up: Arc<AtomicBool>,
    parent_end: watch::Receiver<bool>,
}

impl ParentWatch {
    /// Reads standard input to its end, in a separate thread. If it ends before [`server_is_up`](Self::server_is_up), the process exits at
    /// once, because loading a model may take long.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (sender, parent_end) = watch::channel(false);
        let is_up = Arc::new(AtomicBool::new(false));
        let is_running = is_up.clone();
        let read = move || {
            // an error is an end, too
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            if !is_running.load(Ordering::SeqCst) {
                exit(0);
            }
            let _ = sender.send(true);
        };
        thread::Builder::new().name("stdin".into()).spawn(read).context("cannot start a thread")?;
        Ok(Self { is_up, parent_end })
    }

    /// From now on the returned receiver is notified of the end.
    pub(crate) fn server_is_up(self) -> watch::Receiver<bool> {
        self.is_up.store(true, Ordering::SeqCst);
        self.parent_end
    }
}
