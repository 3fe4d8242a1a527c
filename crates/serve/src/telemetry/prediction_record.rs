//! A record of the prediction log.

use prometheus_client::metrics::counter::Counter;

/// A record: a line of JSON with its end. One that is dropped before it was written counts as lost.
pub(crate) struct Record {
    pub(crate) line: Vec<u8>,
    pub(crate) is_written: bool,
    pub(crate) lost: Counter,
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_written {
            self.lost.inc();
        }
    }
}
