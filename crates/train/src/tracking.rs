//! How a training is tracked in MLflow.

pub(crate) mod logged_model;
pub(crate) mod mlflow_run;
pub(crate) mod registry;
pub(crate) mod run_record;
pub(crate) mod session;
pub(crate) mod stopped_training;
