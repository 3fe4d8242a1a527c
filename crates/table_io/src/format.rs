//! File formats of tables, by file name extension.

use std::path::Path;

use crate::error::FrameError;

/// File format of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Comma-separated text with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format of `path`.
    ///
    /// # Errors
    /// If the extension is neither `csv` nor `parquet`.
    pub fn from_path(path: &Path) -> Result<Self, FrameError> {
        match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(FrameError::UnknownFormat { path: path.to_owned() }),
        }
    }
}
