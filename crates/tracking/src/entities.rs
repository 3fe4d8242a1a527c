//! What MLflow knows: runs, registered models, locations, and the interfaces of stores.

pub(crate) mod location;
pub(crate) mod location_inputs;
pub(crate) mod mlmodel;
pub(crate) mod model_uri;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod variables;
