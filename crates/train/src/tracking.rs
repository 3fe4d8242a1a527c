//! How a training is tracked: where runs are recorded, what MLflow shows of them, and the registry. Imported by the stage, the search
//! and the commands.

pub(crate) mod location;
pub(crate) mod logged_model;
pub(crate) mod mlflow_run;
pub(crate) mod registry;
pub(crate) mod run_record;
pub(crate) mod session;
pub(crate) mod stopped_training;
