//! Cuts CSV text into blocks of whole records, knowing the line of each, and sets aside records that are not well formed.
//!
//! polars parses the cells, but it has no line numbers and gives up a whole file for one bad record. So records are found
//! here first (RFC 4180: a quoted field may hold separators, line ends and doubled quotes), and only well-formed ones go on.

use std::io::{self, Read};

use memchr::{memchr, memchr2_iter, memchr3};
use schema::Rule;

/// The longest record, in bytes. A quote that is open for longer is refused.
pub(crate) const MAX_RECORD: usize = 1 << 20;
/// Malformed records of a block at most.
const MAX_MALFORMED: usize = 10_000;
/// The longest header, in bytes: ten thousand long names fit.
const MAX_HEADER: usize = 16 << 20;

/// Whole records, each ended by one line feed.
#[derive(Clone, Debug, Default)]
pub(crate) struct CsvBlock {
    pub(crate) text: Vec<u8>,
    /// Per record where it starts in `text`.
    pub(crate) starts: Vec<u32>,
    /// Per record the 1-based line of the file on which it starts.
    pub(crate) lines: Vec<u64>,
    /// Records that are not well formed.
    pub(crate) malformed: Vec<Malformed>,
    /// Bytes of those.
    malformed_bytes: usize,
}

impl CsvBlock {
    /// Whether it holds as much as a block is to hold.
    fn is_full(&self, block_bytes: usize) -> bool {
        self.text.len() + self.malformed_bytes >= block_bytes || self.malformed.len() > MAX_MALFORMED
    }

    /// The text of record `index` without its line end.
    pub(crate) fn record(&self, index: usize) -> &[u8] {
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| *next as usize);
        let record = &self.text[self.starts[index] as usize..end];
        record.strip_suffix(b"\n").unwrap_or(record)
    }
}

/// A record that cannot be parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) line: u64,
    /// The field at fault from 0, where there is one.
    pub(crate) field: Option<usize>,
    pub(crate) rule: Rule,
    pub(crate) reason: String,
    pub(crate) record: String,
}

/// A record that is longer than is read, where the scan of a table ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TooLong {
    /// The 1-based line on which it starts; if it `is_quoted`, that on which the quote is.
    pub(crate) line: u64,
    /// The field, from 0, in which the limit is passed.
    pub(crate) field: usize,
    /// The limit in bytes.
    pub(crate) limit: usize,
    /// Whether a quote is open there that runs over lines.
    pub(crate) is_quoted: bool,
}

/// Why no more records can be read.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io(io::Error),
    TooLong(TooLong),
    /// The header has quotes that do not match.
    Header(Malformed),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads records from `input`.
pub(crate) struct CsvScanner<R> {
    input: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` before this are done with.
    position: usize,
    ended: bool,
    line: u64,
    block_bytes: usize,
    max_record: usize,
    too_long: Option<TooLong>,
    /// Whether the input has ended within a quote: one that is open at the end of a later line is never closed either.
    is_unclosed: bool,
}

/// What stands at the start of text with quotes.
enum Found {
    Record(Record),
    /// A record that goes on beyond the text.
    Unended(Record),
    /// A quoted field that goes on beyond the text.
    Unclosed,
}

/// How a record ended.
struct Record {
    /// One past its last byte, without the line end.
    end: usize,
    /// One past its line end.
    next: usize,
    fields: usize,
    newlines: u64,
    fault: Option<&'static str>,
}

impl<R: Read> CsvScanner<R> {
    /// A scanner at the start of `input`, after a byte-order mark if there is one.
    pub(crate) fn new(input: R, block_bytes: usize) -> io::Result<Self> {
        let mut scanner = Self {
            input,
            buffer: Vec::new(),
            position: 0,
            ended: false,
            line: 1,
            block_bytes,
            max_record: MAX_RECORD,
            too_long: None,
            is_unclosed: false,
        };
        scanner.fill()?;
        if scanner.buffer.starts_with(b"\xef\xbb\xbf") {
            scanner.position = 3;
        }
        Ok(scanner)
    }

    /// The first bytes of the input, to see what kind of file it is.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    /// The first record that is not blank, and its line: the header.
    ///
    /// # Errors
    /// If the input cannot be read, or the record is longer than is read or has quotes that do not match.
    pub(crate) fn header(&mut self) -> Result<Option<(u64, Vec<u8>)>, ScanError> {
        let limits = (self.block_bytes, self.max_record);
        (self.block_bytes, self.max_record) = (1, MAX_HEADER);
        let found = loop {
            let Some(block) = self.next_block(None)? else { break None };
            if let Some(malformed) = block.malformed.first() {
                if malformed.rule == Rule::Quotes {
                    return Err(ScanError::Header(malformed.clone()));
                }
                break Some((malformed.line, malformed.record.clone().into_bytes()));
            }
            if !block.lines.is_empty() {
                break Some((block.lines[0], block.record(0).to_vec()));
            }
        };
        (self.block_bytes, self.max_record) = limits;
        Ok(found)
    }

    /// The next block. Where `fields` is given, records with another number of fields are malformed.
    ///
    /// # Errors
    /// If the input cannot be read, or a record is longer than is read.
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
            // What is left is the beginning of a record that goes on beyond the buffer.
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

    /// Drops what is done with and reads more; whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.position);
        self.position = 0;
        // a record that goes on is looked at again from its start: twice as much each time keeps that linear
        let want = self.block_bytes.max(1 << 16).max(self.buffer.len()) as u64;
        let read = self.input.by_ref().take(want).read_to_end(&mut self.buffer)?;
        self.ended = read == 0;
        Ok(!self.ended)
    }

    /// Moves whole records from the buffer to `block`, until it is large enough or the buffer holds no whole record.
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

    /// Text without quotes, in one sweep: every separator and every line end counts.
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
                Found::Record(record) => record,
                Found::Unended(_) | Found::Unclosed if rest.len() > self.max_record => {
                    self.too_long = Some(self.record_too_long(rest));
                    return;
                }
                Found::Unended(record) if self.ended => record,
                Found::Unclosed if self.ended => {
                    self.is_unclosed = true;
                    unclosed(rest)
                }
                Found::Unended(_) | Found::Unclosed => return,
            };
            self.take(rest, &record, block, expected);
        }
    }

    /// Where the record at the start of `rest` passes the limit. A quoted field that runs over lines until then was never closed, one on a
    /// single line is too long.
    fn record_too_long(&self, rest: &[u8]) -> TooLong {
        let (field, quote) = field_and_quote(rest, self.max_record);
        let beginning = &rest[..self.max_record];
        let quote = quote.filter(|quote| memchr(b'\n', &beginning[*quote..]).is_some());
        let newlines = quote.map_or(0, |quote| memchr::memchr_iter(b'\n', &beginning[..quote]).count() as u64);
        TooLong { line: self.line + newlines, field, limit: self.max_record, is_quoted: quote.is_some() }
    }

    /// Puts the record at the start of `rest` where it belongs and moves on.
    fn take(&mut self, rest: &[u8], record: &Record, block: &mut CsvBlock, expected: Expected) {
        let bytes = &rest[..record.end];
        if record.end > self.max_record {
            self.too_long = Some(self.record_too_long(bytes));
            return;
        }
        if let Some((rule, field, reason)) = record.fault_in(bytes, expected) {
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

/// What a well-formed record is.
#[derive(Clone, Copy)]
struct Expected {
    /// How many fields it has, where that is known.
    fields: Option<usize>,
    /// Whether all text at hand is known to be UTF-8.
    utf8: bool,
}

impl Record {
    /// Why the record cannot be parsed, if it cannot: the rule, the field at fault if there is one, and the words.
    fn fault_in(&self, bytes: &[u8], expected: Expected) -> Option<(Rule, Option<usize>, String)> {
        if let Some(fault) = self.fault {
            return Some((Rule::Quotes, None, fault.to_owned()));
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

/// The field, from 0, in which the byte `end` of a record stands, and where its quote is if one is open there.
fn field_and_quote(record: &[u8], end: usize) -> (usize, Option<usize>) {
    let (mut field, mut quote, mut is_start) = (0, None, true);
    let mut bytes = record.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next_if(|(at, _)| *at < end) {
        match (byte, quote) {
            (b'"', Some(_)) => {
                // a quote inside the field is written twice
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

/// The first record of text with quotes. If the input `ended`, a quote that ends the text closes its field; if it `is_unclosed`, no quoted
/// field goes on beyond its line.
fn quoted_record(text: &[u8], ended: bool, is_unclosed: bool) -> Found {
    let (mut at, mut fields, mut inner, mut fault) = (0, 1, 0, None);
    loop {
        if text.get(at) == Some(&b'"') {
            let opened = at;
            at += 1;
            let end = if is_unclosed { memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end) } else { text.len() };
            loop {
                let Some(quote) = memchr(b'"', &text[at..end]) else { return Found::Unclosed };
                at += quote + 1;
                match text.get(at) {
                    Some(b'"') => at += 1,
                    None if !ended => return Found::Unclosed,
                    _ => break,
                }
            }
            inner += memchr::memchr_iter(b'\n', &text[opened..at]).count() as u64;
            if !matches!(text.get(at), None | Some(b',' | b'\n' | b'\r')) {
                fault = Some("has text after a closing quote");
            }
        }
        loop {
            let Some(step) = memchr3(b',', b'\n', b'"', &text[at..]) else {
                return Found::Unended(unended(text, fields, inner, fault));
            };
            at += step;
            match text[at] {
                b',' => {
                    fields += 1;
                    at += 1;
                    break;
                }
                b'\n' => return Found::Record(Record { fault, ..finish(text, at, fields, inner) }),
                _ => {
                    fault = fault.or(Some("has a quote inside a field that does not begin with one"));
                    at += 1;
                }
            }
        }
    }
}

fn finish(text: &[u8], line_feed: usize, fields: usize, inner: u64) -> Record {
    Record { end: without_return(text, line_feed), next: line_feed + 1, fields, newlines: inner + 1, fault: None }
}

/// A last record without a line end.
fn unended(text: &[u8], fields: usize, inner: u64, fault: Option<&'static str>) -> Record {
    Record { end: without_return(text, text.len()), next: text.len(), fields, newlines: inner + 1, fault }
}

fn without_return(text: &[u8], end: usize) -> usize {
    if end > 0 && text[end - 1] == b'\r' { end - 1 } else { end }
}

/// A quote that is never closed: only its first line is given up.
fn unclosed(text: &[u8]) -> Record {
    let end = memchr(b'\n', text).unwrap_or(text.len());
    let next = (end + 1).min(text.len());
    Record { end: without_return(text, end), next, fields: 0, newlines: 1, fault: Some("has a quote that is never closed") }
}

#[cfg(test)]
mod tests;
