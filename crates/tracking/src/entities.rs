//! The entities of MLflow: runs, registered models, locations, and the interfaces of stores. Imported by all other files of the crate.

pub(crate) mod location;
pub(crate) mod location_inputs;
pub(crate) mod mlmodel;
pub(crate) mod model_uri;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod variables;
