//! An MLflow server over its REST API. Imported by the tracker and by `sync`.
//!
//! Every call can be repeated after a failure. Before something is created again, it is looked up by a tag that holds an id which this
//! program chose. A run that was interrupted anywhere is completed by recording it again, here or in
//! [`sync`](crate::sync::sync()).

pub(crate) mod api;
pub(crate) mod artifacts;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod http_config;
pub(crate) mod list;
pub(crate) mod registry;
pub(crate) mod responses;
pub(crate) mod retry;
pub(crate) mod run_store;
pub(crate) mod store;
pub(crate) mod upload;

#[cfg(test)]
mod tests;
