//! Properties of features: the meaning of expressions, and equal features of a row alone and in a table.

#[path = "../../../testkit/shared/property_config.rs"]
mod property_config;

mod expressions;
mod rows;
mod tree;
