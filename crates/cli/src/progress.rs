//! Messages and progress bars on stderr.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    thread,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::GlobalArgs;

/// Delay before a progress bar is shown.
const BAR_DELAY: Duration = Duration::from_secs(1);
/// Interval at which the elapsed time is redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Output of messages and progress of a stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Verbosity: -1 quiet, 0 default, 1 and more verbose.
    level: i8,
    bars: bool,
}

impl Progress {
    /// The output that the flags select.
    pub fn new(flags: &GlobalArgs) -> Self {
        let level = if flags.quiet { -1 } else { i8::try_from(flags.verbose).unwrap_or(i8::MAX) };
        Self { level, bars: level >= 0 && !flags.no_progress && std::io::stderr().is_terminal() }
    }

    /// Prints a warning, which does not stop the work.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.print(0, "warning: ", message.as_ref());
    }

    /// Prints a detail, for `-v`.
    pub fn detail(&self, message: impl AsRef<str>) {
        self.print(1, "", message.as_ref());
    }

    /// Prints that the program waits for another one, which holds a folder.
    pub fn waiting(&self, folder: &Path) {
        self.warn(format!("waiting (without a time limit) until another program releases {}", folder.display()));
    }

    fn print(&self, level: i8, prefix: &str, message: &str) {
        if self.level >= level {
            let _ = writeln!(std::io::stderr(), "{prefix}{message}");
        }
    }

    /// A progress bar over `total` bytes or steps.
    pub fn bar(&self, message: &'static str, total: u64) -> StageBar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg:>12} [{bar:32}] {percent:>3} % {elapsed} (~{eta} left)") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(message);
        if self.bars {
            let weak = bar.downgrade();
            thread::spawn(move || {
                thread::sleep(BAR_DELAY);
                if let Some(bar) = weak.upgrade().filter(|bar| !bar.is_finished()) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(REDRAW_INTERVAL);
                }
            });
        }
        StageBar { bar }
    }
}

/// A progress bar that is shown only for long work.
#[derive(Debug)]
pub struct StageBar {
    bar: ProgressBar,
}

impl StageBar {
    /// Advances by `done` bytes or steps.
    pub fn advance(&self, done: u64) {
        self.bar.inc(done);
    }
}

impl Drop for StageBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
