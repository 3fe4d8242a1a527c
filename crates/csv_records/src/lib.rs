//! CSV text as records. [`CsvReader`] finds the records of a table, with the line of each; a record that is not well formed costs itself
//! and no other. [`fields`] splits a record, [`push_field`] writes one field.
//!
//! It has no files: callers pass a reader and name the file in their messages.

mod block;
mod field;
mod file_kind;
mod quarantine;
mod reader;
mod scanner;

pub use block::{CsvBlock, Malformed};
pub use field::{fields, push_field};
pub use file_kind::{compressed_or_encoded, foreign_kind};
pub use quarantine::{QUARANTINE_HEADER, QuarantinedRow, push_quarantined};
pub use reader::{BLOCK_BYTES, CsvError, CsvReader};
pub use scanner::MAX_RECORD_BYTES;
