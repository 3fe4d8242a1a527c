//! The current time as text, formatted once per millisecond because every response and log line has it.

use std::cell::RefCell;

thread_local! {
    static LAST_TIMESTAMP: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Calls `with` with the time in RFC 3339, to the millisecond.
pub(crate) fn with_timestamp<T>(with: impl FnOnce(&str) -> T) -> T {
    LAST_TIMESTAMP.with_borrow_mut(|(at, text)| {
        let now = cli::now_ms();
        if *at != now {
            *text = cli::rfc3339(now);
            *at = now;
        }
        with(text)
    })
}
