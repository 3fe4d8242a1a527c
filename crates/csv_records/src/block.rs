//! Some records of a CSV text: the well-formed ones with their lines, and the others.

use schema::Rule;

/// Malformed records of a block at most.
const MAX_MALFORMED_RECORDS: usize = 10_000;

/// Whole records, each ended by one line feed.
#[derive(Clone, Debug, Default)]
pub struct CsvBlock {
    pub(crate) text: Vec<u8>,
    /// Per record where it starts in `text`.
    pub(crate) starts: Vec<u32>,
    /// Per record the 1-based line of the file on which it starts.
    pub(crate) lines: Vec<u64>,
    /// Records that are not well formed.
    pub(crate) malformed: Vec<Malformed>,
    /// Bytes of those.
    pub(crate) malformed_bytes: usize,
}

impl CsvBlock {
    /// Whether it holds as much as a block is to hold.
    pub(crate) fn is_full(&self, block_bytes: usize) -> bool {
        self.text.len() + self.malformed_bytes >= block_bytes || self.malformed.len() > MAX_MALFORMED_RECORDS
    }

    /// The number of well-formed records.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// All well-formed records, each with its line feed.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The 1-based line of the file on which record `index` starts.
    pub fn line(&self, index: usize) -> u64 {
        self.lines[index]
    }

    /// The text of record `index` without its line end.
    pub fn record(&self, index: usize) -> &str {
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| *next as usize);
        let record = &self.text[self.starts[index] as usize..end];
        // records that are not UTF-8 are malformed, and not here
        std::str::from_utf8(record.strip_suffix(b"\n").unwrap_or(record)).unwrap_or_default()
    }

    /// Records that are not well formed.
    pub fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }
}

/// A record that cannot be parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// The 1-based line on which it starts.
    pub line: u64,
    /// The field at fault from 0, where there is one.
    pub field: Option<usize>,
    /// The rule that it breaks.
    pub rule: Rule,
    /// The continuation of "the record": "has 3 fields where the header has 7".
    pub reason: String,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub record: String,
}
