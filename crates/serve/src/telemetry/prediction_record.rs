//! A record of the prediction log.

use prometheus_client::metrics::counter::Counter;

/// A record: a line of JSON with its end. A record that is dropped before it was written is counted.
pub(crate) struct PredictionRecord {
    pub(crate) line: Vec<u8>,
    pub(crate) is_written: bool,
    pub(crate) dropped: Counter,
}

impl Drop for PredictionRecord {
    fn drop(&mut self) {
        if !self.is_written {
            self.dropped.inc();
        }
    }
}
