//! Tests of the scanner of CSV records.

#[path = "../../../testkit/shared/property_config.rs"]
mod property_config;

use proptest::{collection::vec, prelude::*};

use super::*;

type Good = Vec<(u64, String)>;

fn scan(text: &str, block_bytes: usize, fields: Option<usize>) -> (Good, Vec<(u64, String)>) {
    let mut scanner = CsvScanner::new(text.as_bytes(), block_bytes).unwrap();
    let (mut good, mut bad) = (vec![], vec![]);
    while let Some(block) = scanner.next_block(fields).unwrap() {
        for (index, line) in block.lines.iter().enumerate() {
            good.push((*line, block.record(index).to_owned()));
        }
        bad.extend(block.malformed.into_iter().map(|malformed| (malformed.line, malformed.reason)));
    }
    (good, bad)
}

fn lines(records: &[(u64, &str)]) -> Good {
    records.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
}

#[test]
fn records_keep_their_lines_at_any_block_size() {
    let text = "\u{feff}\r\na,b\r\n1,\"x\ny\"\r\n\n2,\"say \"\"hi\"\"\"\n3,z";
    let expected = lines(&[(2, "a,b"), (3, "1,\"x\ny\""), (6, "2,\"say \"\"hi\"\"\""), (7, "3,z")]);
    for block_bytes in [1, 7, 64, 4096] {
        assert_eq!(scan(text, block_bytes, Some(2)), (expected.clone(), vec![]), "blocks of {block_bytes}");
    }
}

#[test]
fn records_that_are_not_well_formed_are_set_aside() {
    let text = "1,2\n1,2,3\n1\n\"a\"b,2\na\"b,2\n3,4\n\"a\"\r,2\n\"a\"\rb,2\n5,\"6\"\r\n7,\"8\"\r";
    let (good, bad) = scan(text, 4096, Some(2));
    assert_eq!(good, lines(&[(1, "1,2"), (6, "3,4"), (9, "5,\"6\""), (10, "7,\"8\"")]));
    assert_eq!(
        bad,
        lines(&[
            (2, "has 3 fields where the header has 2"),
            (3, "has 1 fields where the header has 2"),
            (4, "has text after a closing quote"),
            (5, "has a quote inside a field that does not begin with one"),
            (7, "has text after a closing quote"),
            (8, "has text after a closing quote"),
        ])
    );
}

#[test]
fn records_longer_than_the_limit_end_the_scan() {
    let long = "x".repeat(3 * MAX_RECORD_BYTES);
    let lines = "x\n".repeat(MAX_RECORD_BYTES);
    for (text, line, field, is_quoted) in [
        (format!("a,b\n1,{long}\n2,3\n"), 2, 1, false),
        (format!("a,b\n1,{long}"), 2, 1, false),
        (format!("a,b\n1,2\n1,\"{long}\"\n"), 3, 1, false),
        (format!("a,b\n1,\"{long}"), 2, 1, false),
        (format!("a,b\n1,\"{lines}"), 2, 1, true),
        (format!("a,b\n1,\"{lines}\"\n"), 2, 1, true),
        // the limit lies between the two quotes that stand for one
        (format!("a,b\n1,\"{}", "\"\"\n".repeat(MAX_RECORD_BYTES)), 2, 1, true),
        (format!("a,b\n12,\"{}", "\"\"\n".repeat(MAX_RECORD_BYTES)), 2, 1, true),
        (format!("a,b\n123,\"{}", "\"\"\n".repeat(MAX_RECORD_BYTES)), 2, 1, true),
        // the line is that of the quote, not of the record
        (format!("a,b\n\"x\n\"\"y\"\"\",\"{lines}"), 3, 1, true),
        (format!("a,b\nx\"y,{long}"), 2, 1, false),
        (format!("a,b\n{long},\"y\"\n"), 2, 0, false),
        (format!("a,b\n{}\n", ",".repeat(2 * MAX_RECORD_BYTES)), 2, MAX_RECORD_BYTES, false),
    ] {
        for block_bytes in [4096, 1 << 20] {
            let mut scanner = CsvScanner::new(text.as_bytes(), block_bytes).unwrap();
            let error = loop {
                match scanner.next_block(None) {
                    Ok(found) => assert!(found.is_some()),
                    Err(error) => break error,
                }
            };
            let ScanError::TooLong(found) = error else { panic!("{error:?}") };
            assert_eq!(found, TooLong { line, field, limit: MAX_RECORD_BYTES, is_quoted });
        }
    }
    let mut scanner = CsvScanner::new(long.as_bytes(), 4096).unwrap();
    assert_eq!(scanner.header().unwrap(), Some((1, long.clone().into_bytes())));
}

#[test]
fn bytes_that_are_not_utf_8_are_named_by_field() {
    let mut scanner = CsvScanner::new(&b"1,K\xf6ln,2\n1,\"a,\xe9\",2\n"[..], 4096).unwrap();
    let block = scanner.next_block(Some(3)).unwrap().unwrap();
    let found: Vec<_> = block.malformed.iter().map(|malformed| (malformed.field, malformed.reason.as_str())).collect();
    let expected = ["is not UTF-8 text: its byte 4 is 0xF6", "is not UTF-8 text: its byte 6 is 0xE9"];
    assert_eq!(found, expected.map(|reason| (Some(1), reason)));
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    let (good, bad) = scan("1,\"2\n3,4\n5,6\n", 4096, Some(2));
    assert_eq!(good, lines(&[(2, "3,4"), (3, "5,6")]));
    assert_eq!(bad, lines(&[(1, "has a quote that is never closed")]));
    let long = format!("1,\"2\n{}", "3,4\n".repeat(200_000));
    let (good, bad) = scan(&long, 4 << 20, Some(2));
    assert_eq!((good.len(), bad.len()), (200_000, 1));
}

/// Every line closes the quote of the one before and opens another: what follows is looked at once, not once a line.
#[test]
fn quotes_that_open_on_every_line_are_read_in_one_go() {
    let count = MAX_RECORD_BYTES / 8;
    let begun = std::time::Instant::now();
    let (good, bad) = scan(&format!("a,\"b\"\n{}", "x\",\"y\n".repeat(count)), 1 << 20, Some(2));
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_eq!(good, lines(&[(1, "a,\"b\"")]));
    assert_eq!(bad.len(), count);
    let last = (1 + count as u64, "has a quote that is never closed".to_owned());
    assert!(bad.iter().all(|(_, reason)| *reason == last.1) && bad.last() == Some(&last));
}

#[test]
fn blocks_hold_few_bytes_of_malformed_records() {
    let text = format!("1,2\n{}", format!("1,\"2\"{}\n", "x".repeat(100_000)).repeat(50));
    let mut scanner = CsvScanner::new(text.as_bytes(), 1 << 18).unwrap();
    let (mut blocks, mut records) = (0, 0);
    while let Some(block) = scanner.next_block(Some(2)).unwrap() {
        blocks += 1;
        records += block.malformed.len();
        assert!(block.malformed.len() <= 3);
    }
    assert!(blocks >= 17 && records == 50, "{blocks} blocks of {records} records");
}

#[test]
fn a_header_with_quotes_that_do_not_match_is_an_error() {
    for (text, reason) in [
        ("\"a,b\n1,2\n", "has a quote that is never closed"),
        ("\"a\"x,b\n1,2\n", "has text after a closing quote"),
        ("\na\"x,b\n1,2\n", "has a quote inside a field that does not begin with one"),
    ] {
        let mut scanner = CsvScanner::new(text.as_bytes(), 4096).unwrap();
        let Err(ScanError::Header(found)) = scanner.header() else { panic!("{text}") };
        assert_eq!((found.line, found.reason.as_str()), (1 + u64::from(text.starts_with('\n')), reason));
    }
}

proptest! {
    #![proptest_config(property_config::property_config(500))]

    #[test]
    fn any_text_has_the_same_records_at_any_block_size(
        parts in vec(prop::sample::select(vec![",", "\"", "\n", "\r", "\r\n", "a", "é", " ", "\"x\"", "1,2\n"]), 0..40),
        sizes in vec(1_usize..60, 4),
    ) {
        let text = parts.concat();
        let expected = scan(&text, 4096, Some(2));
        for size in sizes {
            prop_assert_eq!(scan(&text, size, Some(2)), expected.clone(), "blocks of {}", size);
        }
    }
}
