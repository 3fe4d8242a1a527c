//! Where runs are recorded: an MLflow server over REST, MLflow's own SQLite store written without MLflow, and a spool for when
//! neither can be written.
//!
//! [`Run`] is what MLflow knows of a run, as plain data. A [`RunStore`] takes it with its files behind a few calls; a [`Registry`]
//! keeps models by name, version and alias. [`Tracker`] is what a training holds, and never costs it its model; [`sync()`] carries
//! what was recorded without a server to one.

mod entities;
mod error;
mod rest;
mod sqlite;
mod sync;
mod tracker;

pub use entities::location::Location;
pub use entities::mlmodel::FILE as MLMODEL;
pub use entities::model_uri::{ModelUri, ModelUriError};
pub use entities::registry::{
    CHALLENGER, CHAMPION, ModelVersion, Move, ROLLED_BACK, RegisteredModel, Registry, history, move_alias, previous,
    version_at,
};
pub use entities::run::{
    Dataset, ListedRun, LoggedModel, MODEL_TAG, Metric, PARENT_TAG, RESUMED_TAG, RUN_TAG, Registration, Run, Status,
    model_id_of, new_model_id, new_run_id,
};
pub use entities::store::{Content, Owner, Place, RunFile, RunStore};
pub use error::TrackingError;
pub use rest::{HttpSettings, Login, RestStore, Variables, choose_cryptography, loopback_client};
pub use sqlite::{EmbeddedStore, RelocateError, Relocated};
pub use sync::{Synced, sync};
pub use tracker::spool::Spool;
pub use tracker::{Recorded, Tracker, Tracking, UnderWay, Warn};
