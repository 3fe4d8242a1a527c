//! The formats of rows: JSON for single rows and lists; CSV, NDJSON and Arrow streams for tables.

pub mod arrow;
pub mod arrow_validation;
pub mod csv;
pub mod json;
pub mod json_scan;
pub mod ndjson;
pub mod table;
