//! Errors of a table as a whole; errors of single rows are [`Rejected`](crate::check::Rejected).

use std::{io, path::PathBuf};

use csv_records::CsvError;
use thiserror::Error;

/// A table that cannot be read or written. Every message names the file and the remedy.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages explain the fields")]
pub enum FrameError {
    #[error("{}: no such file; check the path", path.display())]
    Missing { path: PathBuf },
    #[error("{}: cannot {action}: {cause}", path.display())]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    #[error("{}: is empty. Add a header and rows", path.display())]
    Empty { path: PathBuf },
    #[error("{}: has a header but no rows", path.display())]
    NoRows { path: PathBuf },
    #[error("{}: cannot recognise the format: the name must end in .csv or .parquet", path.display())]
    UnknownFormat { path: PathBuf },
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
    #[error("{}:{line}: {message}", path.display())]
    Header { path: PathBuf, line: u64, message: String },
    #[error("{}:{line}: column \"{column}\": \"{value}\" is not {expected}. The file was changed after writing. Write it again", path.display())]
    Cell { path: PathBuf, line: u64, column: String, value: String, expected: &'static str },
}

impl FrameError {
    pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path, action, cause }
    }

    /// The error of the CSV table at `path`.
    pub(crate) fn csv(path: &std::path::Path, error: CsvError) -> Self {
        let path = path.to_owned();
        match error {
            CsvError::Io(cause) => Self::Io { path, action: "read it", cause },
            CsvError::Empty => Self::Empty { path },
            CsvError::Kind(message) => Self::Content { path, message: message.into() },
            CsvError::Record { line, message } => Self::Header { path, line, message },
        }
    }

    pub(crate) fn content(path: &std::path::Path, message: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), message: message.to_string() }
    }
}
