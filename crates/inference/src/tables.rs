//! Tables in files: rows are read in blocks, predicted on all threads, and written with their predictions after their columns.
//!
//! [`predict::predict_table`] is the one way from a [`block::RowSource`] to a [`block::RowSink`]. Sources and sinks for CSV, NDJSON and
//! Arrow streams are here; a program may bring others.

pub mod arrow;
mod arrow_value;
pub mod block;
pub mod csv;
pub mod header;
pub mod named_writer;
pub mod ndjson;
pub mod predict;
mod predicted_block;
