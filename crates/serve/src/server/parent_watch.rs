//! `--stop-with-stdin`: the server ends with the program that started it, however that ends.
//!
//! The program holds the other end of a pipe that is the server's standard input. The system closes it when the program is gone, so that no
//! process id is trusted and nothing has to be asked again and again.

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
    /// Whether there is a server that can be stopped.
    is_up: Arc<AtomicBool>,
    gone: watch::Receiver<bool>,
}

impl ParentWatch {
    /// Reads standard input to its end, in a thread of its own. If that comes before [`server_is_up`](Self::server_is_up), the program ends at
    /// once: a model may take its time to load.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (sender, gone) = watch::channel(false);
        let is_up = Arc::new(AtomicBool::new(false));
        let seen = is_up.clone();
        let read = move || {
            // a fault is an end, too
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            if !seen.load(Ordering::SeqCst) {
                exit(0);
            }
            let _ = sender.send(true);
        };
        thread::Builder::new().name("stdin".into()).spawn(read).context("starting a thread")?;
        Ok(Self { is_up, gone })
    }

    /// From now on a receiver learns of the end.
    pub(crate) fn server_is_up(self) -> watch::Receiver<bool> {
        self.is_up.store(true, Ordering::SeqCst);
        self.gone
    }
}
