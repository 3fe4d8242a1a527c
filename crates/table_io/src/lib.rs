//! Reading and writing of CSV and Parquet tables in blocks, so that memory does not grow with the rows.
//!
//! [`TableSource`] yields [`Block`]s. [`Block::validate`] validates the cells of raw tables by the schema and reports errors with lines.
//! [`Block::typed`] parses files of the pipeline. [`TableWriter`] writes.

mod check;
mod cleaned;
mod error;
mod format;
mod source;
mod typed;
mod writer;

pub use csv_records::QUARANTINE_HEADER;

pub use check::{CheckedBlock, CheckedColumn, Rejected, rejected_csv, to_data_frame};
pub use cleaned::{CleanedBlock, open_cleaned};
pub use error::FrameError;
pub use format::Format;
pub use source::{BLOCK_ROWS, Block, TableSource};
pub use typed::{ColumnKind, TypedTable};
pub use writer::{TableWriter, csv_text};

/// Runs `work` on polars' thread pool, so that its parallel parts and those of polars share threads. The pool has one thread per core, or
/// `POLARS_MAX_THREADS`.
pub fn on_shared_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    polars_core::runtime::RAYON.install(work)
}
