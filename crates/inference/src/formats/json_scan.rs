//! Scans JSON text before it is read: splits a list into parts, and rejects text that would need too much memory.

use std::{fmt, ops::Range};

use memchr::memchr2;

/// Bytes of a row at most, in every format.
pub const MAX_ROW_BYTES: usize = 1 << 20;
/// A part of a list that one task reads is at least this long, unless it has enough rows.
const MIN_SEGMENT_BYTES: usize = 1 << 16;
/// Levels of lists and objects in one another at most, as the parser has it.
const MAX_DEPTH: usize = 128;

/// Rows of a list that one task reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// Where they are in the text, without brackets.
    pub range: Range<usize>,
    /// The first of them, from 0.
    pub first: usize,
}

/// The result of scanning a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListScan {
    /// Rows in parts. What is wrong inside of a row is for the reader to find.
    Rows(Vec<Segment>),
    /// More rows than there may be: so many.
    TooMany(usize),
    /// This row, from 0, is longer than `MAX_ROW_BYTES`.
    LongRow(usize),
    /// Something else than a list.
    NotAList,
    /// A list without rows, without an end, or with something behind it.
    Other,
}

/// Counts the rows of a list and cuts it between them, into parts of `rows_per_segment` at most.
pub fn split_list(text: &[u8], rows_per_segment: usize, most_rows: usize) -> ListScan {
    let Some(start) = text.iter().position(|byte| !is_blank(*byte)).filter(|start| text[*start] == b'[') else {
        return ListScan::NotAList;
    };
    let (mut segments, mut begin, mut first) = (Vec::new(), start + 1, 0);
    let (mut rows, mut row_begin) = (0, start + 1);
    let (mut depth, mut at) = (1_usize, start + 1);
    loop {
        let Some(byte) = text.get(at) else {
            return if at - row_begin > MAX_ROW_BYTES { ListScan::LongRow(rows) } else { ListScan::Other };
        };
        match byte {
            b'"' => {
                at = end_of_string(text, at);
                if at - row_begin > MAX_ROW_BYTES {
                    return ListScan::LongRow(rows);
                }
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b',' if depth == 1 => {
                if at - row_begin > MAX_ROW_BYTES {
                    return ListScan::LongRow(rows);
                }
                rows += 1;
                row_begin = at + 1;
                if rows <= most_rows && (at - begin >= MIN_SEGMENT_BYTES || rows - first >= rows_per_segment) {
                    segments.push(Segment { range: begin..at, first });
                    (begin, first) = (at + 1, rows);
                }
            }
            _ => {}
        }
        at += 1;
    }
    if at - row_begin > MAX_ROW_BYTES {
        return ListScan::LongRow(rows);
    }
    segments.push(Segment { range: begin..at, first });
    rows += 1;
    let is_blank_part = |range: Range<usize>| text[range].iter().all(|byte| is_blank(*byte));
    // behind the list there is nothing, and behind a comma there is something
    if !is_blank_part(at + 1..text.len()) || segments.iter().any(|segment| is_blank_part(segment.range.clone())) {
        return ListScan::Other;
    }
    if rows > most_rows { ListScan::TooMany(rows) } else { ListScan::Rows(segments) }
}

/// Why a JSON text is not read, and at which byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Excess {
    /// A text, number or blank is longer than `MAX_ROW_BYTES`.
    Long(usize),
    /// Lists and objects are nested deeper than `MAX_DEPTH`.
    Deep(usize),
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Long(at) => {
                write!(f, "the value at byte {at} is longer than the {MAX_ROW_BYTES} bytes that a value may have")
            }
            Self::Deep(at) => write!(f, "the body is nested deeper than {MAX_DEPTH} levels at byte {at}"),
        }
    }
}

/// Checks that no text, number or blank of a JSON text is longer than `MAX_ROW_BYTES`, and that it is not nested too deep. A reader then
/// needs little memory beside what it keeps.
///
/// # Errors
/// If one is.
pub fn check_values(text: &[u8]) -> Result<(), Excess> {
    let (mut depth, mut at, mut last) = (0_usize, 0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(text, at);
                if end - at > MAX_ROW_BYTES {
                    return Err(Excess::Long(at));
                }
                (at, last) = (end, end);
            }
            b'[' | b'{' => {
                depth += 1;
                last = at;
                if depth > MAX_DEPTH {
                    return Err(Excess::Deep(at));
                }
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                last = at;
            }
            b',' | b':' => last = at,
            _ => {
                if at - last > MAX_ROW_BYTES {
                    return Err(Excess::Long(last + 1));
                }
            }
        }
        at += 1;
    }
    Ok(())
}

/// Where a string that begins at `at` ends: its last quote, or the end of the text.
fn end_of_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        let Some(next) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) else { return text.len() };
        at += next;
        if text[at] == b'"' {
            return at;
        }
        at += 2;
    }
}

/// Whether JSON takes a byte for a blank.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn parts(text: &str) -> Option<Vec<Value>> {
        let ListScan::Rows(segments) = split_list(text.as_bytes(), 1000, usize::MAX) else { return None };
        let read = |range: Range<usize>| serde_json::from_str::<Vec<Value>>(&format!("[{}]", &text[range])).ok();
        let mut rows = Vec::new();
        for segment in segments {
            assert_eq!(segment.first, rows.len());
            rows.extend(read(segment.range)?);
        }
        Some(rows)
    }

    #[test]
    fn a_list_is_cut_between_its_elements() {
        let element = r#"{"a": "x], [\"{,", "b": [1, {"c": ["],"]}], "d": "\\"}"#;
        let list = vec![element; 4000].join(" ,\n");
        let text = format!(" \n[{list}] \n");
        assert_eq!(parts(&text), Some(serde_json::from_str(&text).unwrap()));
        let short = format!("[{element}]");
        assert_eq!(parts(&short), Some(serde_json::from_str(&short).unwrap()));
        // what is no list, or none that is whole, is for the reader of the whole
        let split_list = &text[..text.len() - 4];
        for other in [
            split_list,
            &format!("[{list},]"),
            &format!("[{list}] x"),
            &format!("{{{list}}}"),
            &list,
            "[]",
            " [ ] ",
            "",
            "[",
            "\"",
        ] {
            assert!(parts(other).is_none(), "{}", &other[other.len().saturating_sub(20)..]);
        }
    }

    #[test]
    fn rows_are_counted_and_long_ones_found_before_anything_is_read() {
        let rows = |rows: usize| format!("[{}]", vec!["{}"; rows].join(","));
        assert!(matches!(split_list(rows(5000).as_bytes(), 1000, 5000), ListScan::Rows(segments) if segments.len() == 5));
        assert_eq!(split_list(rows(5001).as_bytes(), 1000, 5000), ListScan::TooMany(5001));
        let long = "x".repeat(MAX_ROW_BYTES);
        for row in [format!("{{\"a\": \"{long}\"}}"), format!("\"{long}"), "1".repeat(MAX_ROW_BYTES + 1)] {
            for text in [format!("[{{}},{row}]"), format!("[{{}},{row},{{}}]"), format!("[{{}},{row}")] {
                assert_eq!(split_list(text.as_bytes(), 1000, 5000), ListScan::LongRow(1), "{}", &text[..20]);
            }
        }
    }

    #[test]
    fn values_that_would_take_memory_are_found_before_anything_is_read() {
        let long = "\\n".repeat(MAX_ROW_BYTES);
        assert_eq!(check_values(b"{\"a\": [1, \"x\\\"\", {\"b\": null}]}"), Ok(()));
        for text in
            [format!("{{\"a\": \"{long}\"}}"), format!("{{\"a\": \"{long}"), format!("[{}]", "1".repeat(MAX_ROW_BYTES + 9))]
        {
            let message = check_values(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(" is longer than the 1048576 bytes "), "{message}");
        }
        let deep = "[".repeat(MAX_DEPTH + 1);
        let message = check_values(deep.as_bytes()).unwrap_err().to_string();
        assert_eq!(message, "the body is nested deeper than 128 levels at byte 128");
    }
}
