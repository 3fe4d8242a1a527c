//! A loaded model and the rows that it predicts: JSON, CSV, NDJSON and Arrow are read, validated by the schema, and predicted.
//!
//! Servers and programs predict through this crate, so that a row has the same prediction wherever it is asked for. It has no clock,
//! environment, file or network: callers pass readers, writers and a loaded [`Predictor`](predictor::Predictor).

pub mod blocks;
pub mod formats;
pub mod loaded_model;
pub mod prediction_json;
mod response_keys;
pub mod row_schema;
pub mod tables;
pub mod validation;
