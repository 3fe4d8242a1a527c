//! The time as text, worked out once a millisecond: it stands in every answer and every line of the log.

use std::cell::RefCell;

thread_local! {
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Lets `with` have the time in RFC 3339, to the millisecond.
pub(crate) fn with_now<T>(with: impl FnOnce(&str) -> T) -> T {
    LAST.with_borrow_mut(|(at, text)| {
        let now = cli::now_ms();
        if *at != now {
            *text = cli::rfc3339(now);
            *at = now;
        }
        with(text)
    })
}
