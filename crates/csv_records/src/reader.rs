//! A CSV table: its header is read when it is opened, its records block by block.

use std::{
    fmt,
    io::{self, Read},
};

use schema::{Rule, check_header_names};

use crate::{
    block::{CsvBlock, Malformed},
    field::fields,
    file_kind::foreign_kind,
    scanner::{CsvScanner, ScanError, TooLong},
};

/// Bytes of records that make a block.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Why a table cannot be read. The file is for the caller to name.
#[derive(Debug)]
pub enum CsvError {
    /// The input cannot be read.
    Io(io::Error),
    /// There is no header.
    Empty,
    /// It is no CSV text; what it is, and what to do.
    Kind(&'static str),
    /// The header or a record.
    Record {
        /// Its 1-based line.
        line: u64,
        /// What is wrong with it, and what to do.
        message: String,
    },
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read it: {error}"),
            Self::Empty => f.write_str("is empty. Add a header and rows"),
            Self::Kind(message) => f.write_str(message),
            Self::Record { line, message } => write!(f, "line {line}: {message}"),
        }
    }
}

impl std::error::Error for CsvError {}

/// An open table.
pub struct CsvReader<R> {
    scanner: CsvScanner<R>,
    names: Vec<String>,
    header_line: u64,
}

impl<R: Read> CsvReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If the input is no CSV text, has no header, or its header has a name twice or one that cannot be a name.
    pub fn open(input: R) -> Result<Self, CsvError> {
        let mut scanner = CsvScanner::new(input, BLOCK_BYTES).map_err(CsvError::Io)?;
        if let Some(message) = foreign_kind(scanner.peek()) {
            return Err(CsvError::Kind(message));
        }
        let header = scanner.header().map_err(|error| scan_error(error, None))?;
        let Some((line, record)) = header else { return Err(CsvError::Empty) };
        let record = String::from_utf8(record).map_err(|error| {
            let (at, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
            let advice = sentence(&Rule::Utf8.advice(""));
            let message = format!("the header is not UTF-8 text: its byte {} is 0x{:02X}. {advice}", at + 1, bytes[at]);
            CsvError::Record { line, message }
        })?;
        let names: Vec<String> = fields(&record).iter().map(|name| name.trim().to_owned()).collect();
        check_header_names(&names).map_err(|message| CsvError::Record { line, message })?;
        Ok(Self { scanner, names, header_line: line })
    }

    /// The names in the header, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The 1-based line of the header.
    pub fn header_line(&self) -> u64 {
        self.header_line
    }

    /// The next block; none at the end. A record with another number of fields than the header is malformed.
    ///
    /// # Errors
    /// If the input cannot be read, or a record is longer than [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES).
    pub fn next_block(&mut self) -> Result<Option<CsvBlock>, CsvError> {
        self.scanner.next_block(Some(self.names.len())).map_err(|error| scan_error(error, Some(&self.names)))
    }
}

/// The error for a scan that ended early; `names` are those of the header, if it was read.
fn scan_error(error: ScanError, names: Option<&[String]>) -> CsvError {
    let record_error = |line, message| CsvError::Record { line, message };
    let TooLong { line, field, limit, is_quoted } = match error {
        ScanError::Io(error) => return CsvError::Io(error),
        ScanError::Header(Malformed { line, rule, reason, .. }) => {
            return record_error(line, format!("the header {reason}. {}", sentence(&rule.advice(""))));
        }
        ScanError::TooLong(too_long) => too_long,
    };
    let what = if names.is_some() { "record" } else { "header" };
    let name = names.and_then(|names| names.get(field)).map_or(String::new(), |name| format!(" (\"{name}\")"));
    let column = format!("column {}{name}", field + 1);
    if is_quoted {
        let limit = format!("within {limit} bytes, the limit of a {what}");
        let advice = sentence(&Rule::Quotes.advice(""));
        return record_error(line, format!("the quote that opens {column} is not closed {limit}. {advice}"));
    }
    let message = format!("the {what} is longer than the limit of {limit} bytes, which it exceeds in {column}");
    record_error(line, format!("{message}. Shorten or remove the cell"))
}

/// The text with a capital letter at its start.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
