//! Where runs are recorded: MLflow's own SQLite store, written without MLflow, and a spool for when it cannot be.
//!
//! A store takes a [`RunRecord`](artifact::RunRecord) and files behind the few calls of [`RunStore`]; [`Tracker`] is what
//! a training holds, and never costs it its model.

mod embedded;
mod error;
mod location;
mod spool;
mod store;
mod tracker;

pub use embedded::{EmbeddedStore, ListedRun, RelocateError, Relocated};
pub use error::TrackingError;
pub use location::Location;
pub use spool::Spool;
pub use store::{Content, RunFile, RunStore, new_run_id};
pub use tracker::{Recorded, Tracker};
