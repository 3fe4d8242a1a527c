//! Reads and writes tables, CSV or Parquet by the file's name, in blocks so that memory does not grow with the rows.
//!
//! [`Source`] yields [`Block`]s. A block becomes either checked columns ([`Block::check`]: raw tables, every cell judged by the
//! schema, every fault with its line) or typed columns ([`Block::typed`]: the pipeline's own files). [`TableWriter`] writes.

mod check;
mod cleaned;
mod csv_blocks;
mod error;
mod format;
mod header;
mod source;
mod typed;
mod writer;

pub use check::{Checked, CheckedColumn, REJECTED_HEADER, Rejected, rejected_csv, to_frame};
pub use cleaned::{Cleaned, open_cleaned};
pub use error::FrameError;
pub use format::Format;
pub use header::{TargetColumn, check_header};
pub use source::{Block, Source};
pub use typed::{Kind, TypedTable};
pub use writer::{TableWriter, csv_text};

/// How many bytes of CSV make a block.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Runs `work` on polars' threads, so that its parallel parts and polars' own share them instead of waiting for each other.
/// There are as many as the machine has cores, or `POLARS_MAX_THREADS`.
pub fn on_shared_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    polars_core::runtime::RAYON.install(work)
}
