//! Metrics, log, prediction log and realised errors of a server.

pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod prediction_log;
pub(crate) mod prediction_log_files;
pub(crate) mod prediction_record;
pub(crate) mod realised_error;
pub(crate) mod recent_entries;
