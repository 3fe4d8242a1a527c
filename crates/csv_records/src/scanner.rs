//! Scanner of CSV text: blocks of whole records with their lines, and malformed records apart (RFC 4180: a quoted field can contain
//! separators, line ends and doubled quotes).

use std::io::{self, Read};

use memchr::{memchr, memchr2_iter, memchr3};
use schema::Rule;

use crate::block::{CsvBlock, Malformed};

/// Longest record in bytes; an open quote cannot go on for longer.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// Longest header in bytes; ten thousand long names fit.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// A record above the limit, at which the scan ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TooLong {
    /// Line of its start, or of its quote if `is_quoted`; from 1.
    pub(crate) line: u64,
    /// Index of the field in which the limit is exceeded.
    pub(crate) field: usize,
    /// Limit in bytes.
    pub(crate) limit: usize,
    /// True if an open quote runs over several lines.
    pub(crate) is_quoted: bool,
}

/// The reason why the scan ends early.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io(io::Error),
    TooLong(TooLong),
    /// The header has unmatched quotes.
    Header(Malformed),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A scanner of the records of `input`.
pub(crate) struct CsvScanner<R> {
    input: R,
    buffer: Vec<u8>,
    /// Start of the unread part of `buffer`.
    position: usize,
    ended: bool,
    line: u64,
    block_bytes: usize,
    max_record: usize,
    too_long: Option<TooLong>,
    /// True if the input ended inside a quote; open quotes at the end of later lines are then unclosed, too.
    is_unclosed: bool,
}

/// The start of a text with quotes.
enum ParsedRecord {
    Record(Record),
    /// A record that continues after the text.
    Unended(Record),
    /// A quoted field that continues after the text.
    Unclosed,
}

/// Position and shape of a record.
struct Record {
    /// End of the record, without the line end.
    end: usize,
    /// Start of the next record.
    next: usize,
    fields: usize,
    newlines: u64,
    error: Option<&'static str>,
}

impl<R: Read> CsvScanner<R> {
    /// A scanner at the start of `input`, after an optional byte-order mark.
    pub(crate) fn new(input: R, block_bytes: usize) -> io::Result<Self> {
        let mut scanner = Self {
            input,
            buffer: Vec::new(),
            position: 0,
            ended: false,
            line: 1,
            block_bytes,
            max_record: MAX_RECORD_BYTES,
            too_long: None,
            is_unclosed: false,
        };
        scanner.fill()?;
        if scanner.buffer.starts_with(b"\xef\xbb\xbf") {
            scanner.position = 3;
        }
        Ok(scanner)
    }

    /// The first bytes of the input, to recognise its format.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    /// The header: the first record that is not blank, with its line.
    ///
    /// # Errors
    /// If the input cannot be read, or the header is too long or has unmatched quotes.
    pub(crate) fn header(&mut self) -> Result<Option<(u64, Vec<u8>)>, ScanError> {
        let limits = (self.block_bytes, self.max_record);
        (self.block_bytes, self.max_record) = (1, MAX_HEADER_BYTES);
        let found = loop {
            let Some(block) = self.next_block(None)? else { break None };
            if let Some(malformed) = block.malformed.first() {
                if malformed.rule == Rule::Quotes {
                    return Err(ScanError::Header(malformed.clone()));
                }
                break Some((malformed.line, malformed.record.clone().into_bytes()));
            }
            if !block.lines.is_empty() {
                break Some((block.line(0), block.record(0).as_bytes().to_vec()));
            }
        };
        (self.block_bytes, self.max_record) = limits;
        Ok(found)
    }

    /// The next block. Records with another number than `fields` fields, if given, are malformed.
    ///
    /// # Errors
    /// If the input cannot be read, or a record is too long.
    pub(crate) fn next_block(&mut self, fields: Option<usize>) -> Result<Option<CsvBlock>, ScanError> {
        let mut block = CsvBlock::default();
        loop {
            if self.position == self.buffer.len() && !self.fill()? {
                break;
            }
            self.scan(&mut block, fields);
            if let Some(too_long) = self.too_long {
                return Err(ScanError::TooLong(too_long));
            }
            // the rest is the start of a record that continues after the buffer
            if block.is_full(self.block_bytes) {
                break;
            }
            if self.position < self.buffer.len() && !self.fill()? {
                self.scan(&mut block, fields);
            }
        }
        let nothing = block.lines.is_empty() && block.malformed.is_empty();
        Ok((!nothing || self.position < self.buffer.len() || !self.ended).then_some(block))
    }

    /// Drops the processed part of the buffer and reads more; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.position);
        self.position = 0;
        // a long record is scanned again from its start: doubling the buffer keeps that linear
        let want = self.block_bytes.max(1 << 16).max(self.buffer.len()) as u64;
        let read = self.input.by_ref().take(want).read_to_end(&mut self.buffer)?;
        self.ended = read == 0;
        Ok(!self.ended)
    }

    /// Moves whole records from the buffer to `block`, until the block is full or the buffer has no whole record.
    fn scan(&mut self, block: &mut CsvBlock, fields: Option<usize>) {
        let buffer = std::mem::take(&mut self.buffer);
        let rest = &buffer[self.position..];
        let expected = Expected { fields, utf8: std::str::from_utf8(rest).is_ok() };
        if memchr(b'"', rest).is_none() {
            self.scan_plain(&buffer, block, expected);
        } else {
            self.scan_quoted(&buffer, block, expected);
        }
        self.buffer = buffer;
    }

    /// Scans text without quotes: every separator and line end counts.
    fn scan_plain(&mut self, buffer: &[u8], block: &mut CsvBlock, expected: Expected) {
        let (start, mut fields) = (self.position, 1);
        for at in memchr2_iter(b',', b'\n', &buffer[start..]) {
            if buffer[start + at] == b',' {
                fields += 1;
                continue;
            }
            let record = &buffer[self.position..];
            self.take(record, &finish(record, start + at - self.position, fields, 0), block, expected);
            if self.too_long.is_some() || block.is_full(self.block_bytes) {
                return;
            }
            fields = 1;
        }
        let record = &buffer[self.position..];
        if self.ended && !record.is_empty() || record.len() > self.max_record {
            self.take(record, &unended(record, fields, 0, None), block, expected);
        }
    }

    fn scan_quoted(&mut self, buffer: &[u8], block: &mut CsvBlock, expected: Expected) {
        while self.position < buffer.len() && !block.is_full(self.block_bytes) && self.too_long.is_none() {
            let rest = &buffer[self.position..];
            let record = match quoted_record(rest, self.ended, self.is_unclosed) {
                ParsedRecord::Record(record) => record,
                ParsedRecord::Unended(_) | ParsedRecord::Unclosed if rest.len() > self.max_record => {
                    self.too_long = Some(self.record_too_long(rest));
                    return;
                }
                ParsedRecord::Unended(record) if self.ended => record,
                ParsedRecord::Unclosed if self.ended => {
                    self.is_unclosed = true;
                    unclosed(rest)
                }
                ParsedRecord::Unended(_) | ParsedRecord::Unclosed => return,
            };
            self.take(rest, &record, block, expected);
        }
    }

    /// Position at which the record at the start of `rest` exceeds the limit. A quoted field over several lines was never closed; one on a
    /// single line is too long.
    fn record_too_long(&self, rest: &[u8]) -> TooLong {
        let (field, quote) = field_and_quote(rest, self.max_record);
        let beginning = &rest[..self.max_record];
        let quote = quote.filter(|quote| memchr(b'\n', &beginning[*quote..]).is_some());
        let newlines = quote.map_or(0, |quote| memchr::memchr_iter(b'\n', &beginning[..quote]).count() as u64);
        TooLong { line: self.line + newlines, field, limit: self.max_record, is_quoted: quote.is_some() }
    }

    /// Adds the record at the start of `rest` to the block, as well-formed or malformed, and advances.
    fn take(&mut self, rest: &[u8], record: &Record, block: &mut CsvBlock, expected: Expected) {
        let bytes = &rest[..record.end];
        if record.end > self.max_record {
            self.too_long = Some(self.record_too_long(bytes));
            return;
        }
        if let Some((rule, field, reason)) = record.error_in(bytes, expected) {
            let record = String::from_utf8_lossy(bytes).into_owned();
            block.malformed_bytes += record.len();
            block.malformed.push(Malformed { line: self.line, field, rule, reason, record });
        } else if !is_blank(bytes) {
            block.starts.push(block.text.len() as u32);
            block.lines.push(self.line);
            block.text.extend_from_slice(bytes);
            block.text.push(b'\n');
        }
        self.line += record.newlines;
        self.position += record.next;
    }
}

/// The expected form of a record.
#[derive(Clone, Copy)]
struct Expected {
    /// Number of fields, if known.
    fields: Option<usize>,
    /// True if the text is known to be UTF-8.
    utf8: bool,
}

impl Record {
    /// The reason why the record is malformed, if it is: rule, invalid field if known, and text.
    fn error_in(&self, bytes: &[u8], expected: Expected) -> Option<(Rule, Option<usize>, String)> {
        if let Some(error) = self.error {
            return Some((Rule::Quotes, None, error.to_owned()));
        }
        if !expected.utf8
            && let Err(error) = std::str::from_utf8(bytes)
        {
            let at = error.valid_up_to();
            let reason = format!("is not UTF-8 text: its byte {} is 0x{:02X}", at + 1, bytes[at]);
            return Some((Rule::Utf8, Some(field_and_quote(bytes, at).0), reason));
        }
        let expected = expected.fields.filter(|expected| *expected != self.fields && !is_blank(bytes))?;
        Some((Rule::Fields, None, format!("has {} fields where the header has {expected}", self.fields)))
    }
}

/// Index of the field of byte `end` of a record, and position of its quote if one is open there.
fn field_and_quote(record: &[u8], end: usize) -> (usize, Option<usize>) {
    let (mut field, mut quote, mut is_start) = (0, None, true);
    let mut bytes = record.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next_if(|(at, _)| *at < end) {
        match (byte, quote) {
            (b'"', Some(_)) => {
                // a quote inside a field is doubled
                let is_doubled = bytes.next_if(|(_, next)| **next == b'"').is_some();
                quote = quote.filter(|_| is_doubled);
            }
            (b'"', None) if is_start => quote = Some(at),
            (b',', None) => field += 1,
            _ => {}
        }
        is_start = *byte == b',' && quote.is_none();
    }
    (field, quote)
}

fn is_blank(record: &[u8]) -> bool {
    record.iter().all(u8::is_ascii_whitespace)
}

/// Scans the first record of text with quotes. If the input `ended`, a quote at the end closes its field; if `is_unclosed`, no quoted field
/// continues after its line.
fn quoted_record(text: &[u8], ended: bool, is_unclosed: bool) -> ParsedRecord {
    let (mut at, mut fields, mut inner, mut error) = (0, 1, 0, None);
    loop {
        if text.get(at) == Some(&b'"') {
            let opened = at;
            at += 1;
            let end = if is_unclosed { memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end) } else { text.len() };
            loop {
                let Some(quote) = memchr(b'"', &text[at..end]) else { return ParsedRecord::Unclosed };
                at += quote + 1;
                match text.get(at) {
                    Some(b'"') => at += 1,
                    None if !ended => return ParsedRecord::Unclosed,
                    _ => break,
                }
            }
            inner += memchr::memchr_iter(b'\n', &text[opened..at]).count() as u64;
            if !matches!(&text[at..], [] | [b',' | b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..]) {
                error = Some("has text after a closing quote");
            }
        }
        loop {
            let Some(step) = memchr3(b',', b'\n', b'"', &text[at..]) else {
                return ParsedRecord::Unended(unended(text, fields, inner, error));
            };
            at += step;
            match text[at] {
                b',' => {
                    fields += 1;
                    at += 1;
                    break;
                }
                b'\n' => return ParsedRecord::Record(Record { error, ..finish(text, at, fields, inner) }),
                _ => {
                    error = error.or(Some("has a quote inside a field that does not begin with one"));
                    at += 1;
                }
            }
        }
    }
}

fn finish(text: &[u8], line_feed: usize, fields: usize, inner: u64) -> Record {
    Record { end: without_return(text, line_feed), next: line_feed + 1, fields, newlines: inner + 1, error: None }
}

/// The last record, without a line end.
fn unended(text: &[u8], fields: usize, inner: u64, error: Option<&'static str>) -> Record {
    Record { end: without_return(text, text.len()), next: text.len(), fields, newlines: inner + 1, error }
}

fn without_return(text: &[u8], end: usize) -> usize {
    if end > 0 && text[end - 1] == b'\r' { end - 1 } else { end }
}

/// A record with a quote that is never closed: only its first line is dropped.
fn unclosed(text: &[u8]) -> Record {
    let end = memchr(b'\n', text).unwrap_or(text.len());
    let next = (end + 1).min(text.len());
    Record { end: without_return(text, end), next, fields: 0, newlines: 1, error: Some("has a quote that is never closed") }
}

#[cfg(test)]
mod tests;
