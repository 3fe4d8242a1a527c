//! Messages and progress bars on stderr.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    thread,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::GlobalArgs;

/// A bar is drawn only once its work has lasted this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the elapsed time is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// Where a stage reports what it is doing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// -1 quiet, 0 as usual, 1 and more verbose.
    level: i8,
    bars: bool,
}

impl Progress {
    /// As the flags ask.
    pub fn new(flags: &GlobalArgs) -> Self {
        let level = if flags.quiet { -1 } else { i8::try_from(flags.verbose).unwrap_or(i8::MAX) };
        Self { level, bars: level >= 0 && !flags.no_progress && std::io::stderr().is_terminal() }
    }

    /// Something that the user should know but that does not stop the work.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.say(0, "warning: ", message.as_ref());
    }

    /// A step, for `-v`.
    pub fn detail(&self, message: impl AsRef<str>) {
        self.say(1, "", message.as_ref());
    }

    /// That another program is waited for, which holds a folder.
    pub fn waiting(&self, folder: &Path) {
        self.warn(format!("waiting, without a time limit, until another program is done with {}", folder.display()));
    }

    fn say(&self, level: i8, prefix: &str, message: &str) {
        if self.level >= level {
            let _ = writeln!(std::io::stderr(), "{prefix}{message}");
        }
    }

    /// A bar over `total` bytes or steps.
    pub fn bar(&self, message: &'static str, total: u64) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg:>12} [{bar:32}] {percent:>3} % {elapsed} (~{eta} left)") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(message);
        if self.bars {
            let weak = bar.downgrade();
            thread::spawn(move || {
                thread::sleep(PATIENCE);
                if let Some(bar) = weak.upgrade().filter(|bar| !bar.is_finished()) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(TICK);
                }
            });
        }
        Bar { bar }
    }
}

/// A progress bar that appears only if the work takes a while.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// `done` more bytes or steps are done.
    pub fn advance(&self, done: u64) {
        self.bar.inc(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
