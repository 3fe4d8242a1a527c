//! The handlers of the API, and the OpenAPI document.

pub(crate) mod batch;
pub(crate) mod feedback;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod model;
pub(crate) mod open_inference;
pub(crate) mod openapi;
pub(crate) mod predict;
pub(crate) mod seed;
pub(crate) mod stream;
pub(crate) mod tensor_column;
pub(crate) mod tensors;
