//! The file format, by the name's extension.

use std::path::Path;

use crate::error::FrameError;

/// A table's file format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Comma-separated text with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that `path` names.
    ///
    /// # Errors
    /// If the extension is neither `csv` nor `parquet`.
    pub fn of(path: &Path) -> Result<Self, FrameError> {
        match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(FrameError::UnknownFormat { path: path.to_owned() }),
        }
    }
}
