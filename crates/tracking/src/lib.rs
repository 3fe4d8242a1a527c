//! Records runs: on an MLflow server over REST, in MLflow's own SQLite store without MLflow, and in a spool if neither can be written.
//! A [`Run`] is a run of MLflow as plain data. A [`RunStore`] records it with its files; a [`Registry`] keeps models by name, version
//! and alias. A [`Tracker`] records the run of a training, and never lets it fail. [`sync()`] sends locally recorded runs to a server.

mod entities;
mod error;
mod rest;
mod sqlite;
mod sync;
mod tracker;

pub use entities::location::{Location, LocationError, TRACKING_URI_VARIABLE};
pub use entities::mlmodel::MLMODEL_FILE;
pub use entities::model_uri::{ModelUri, ModelUriError};
pub use entities::registry::{
    AliasChange, CHALLENGER, CHAMPION, ModelVersion, ROLLED_BACK, RegisteredModel, Registry, alias_history, move_alias,
    previous_version, version_at,
};
pub use entities::run::{
    ListedRun, LoggedModel, MODEL_TAG, Metric, PARENT_TAG, RESUMED_TAG, RUN_TAG, Registration, Run, RunDataset, Status,
    logged_model_id, new_model_id, new_run_id,
};
pub use entities::store::{ArtifactContent, ArtifactOwner, RunFile, RunReference, RunStore};
pub use entities::variables::VariableLookup;
pub use error::TrackingError;
pub use rest::client::{choose_cryptography, loopback_client};
pub use rest::http_config::{HttpConfig, Login};
pub use rest::store::RestStore;
pub use sqlite::relocate::{RelocateError, Relocation};
pub use sqlite::store::SqliteStore;
pub use sync::{SyncSummary, sync};
pub use tracker::spool::Spool;
pub use tracker::{ActiveRun, RecordOutcome, Tracker, Tracking, WarningSink};
