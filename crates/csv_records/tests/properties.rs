//! Properties of CSV records: what is written is read back at any position of the file, and no byte of an input is lost.

#[path = "../../testkit/shared/property_config.rs"]
mod property_config;

use csv::{QuoteStyle, ReaderBuilder, Terminator, WriterBuilder};
use csv_records::{BLOCK_BYTES, CsvReader, fields, push_field};
use proptest::{collection::vec, prelude::*};

/// A cell of characters that matter to CSV, and of others.
fn cell() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![",", "\"", "\"\"", "\n", "\r", "\r\n", " ", "\t", ";", "'", "\\"]),
        4 => prop::sample::select(vec!["a", "Z", "0", "-1.5", "é", "字", "🏠", "\u{feff}", "\u{a0}", "\u{2028}", "\0"]),
    ];
    vec(part, 0..5).prop_map(|parts| parts.concat())
}

/// A table: its number of columns and its rows. The only cell of a row is never blank, because blank lines are no rows.
fn table() -> impl Strategy<Value = (usize, Vec<Vec<String>>)> {
    (1_usize..5).prop_flat_map(|width| {
        let row = vec(cell(), width).prop_map(move |mut row| {
            if width == 1 {
                row[0].push('x');
            }
            row
        });
        (Just(width), vec(row, 0..8))
    })
}

/// The form of a file.
#[derive(Clone, Debug)]
struct Form {
    /// The style of the `csv` crate; this project's writer if there is none.
    style: Option<QuoteStyle>,
    line_end: &'static str,
    has_mark: bool,
    /// True if the last record has a line end.
    is_ended: bool,
    /// Blank lines before each record.
    blank: Vec<usize>,
}

fn form() -> impl Strategy<Value = Form> {
    let style = prop::sample::select(vec![None, Some(QuoteStyle::Necessary), Some(QuoteStyle::Always)]);
    let form = (style, prop::sample::select(vec!["\n", "\r\n"]), any::<bool>(), any::<bool>(), vec(0_usize..3, 10));
    form.prop_map(|(style, line_end, has_mark, is_ended, blank)| Form { style, line_end, has_mark, is_ended, blank })
}

/// One record with its line end.
fn record(row: &[String], form: &Form) -> Vec<u8> {
    let Some(style) = form.style else {
        let mut out = Vec::new();
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            push_field(&mut out, cell);
        }
        out.extend(form.line_end.as_bytes());
        return out;
    };
    let terminator = if form.line_end == "\n" { Terminator::Any(b'\n') } else { Terminator::CRLF };
    let mut writer = WriterBuilder::new().quote_style(style).terminator(terminator).from_writer(Vec::new());
    writer.write_record(row).unwrap();
    writer.into_inner().unwrap()
}

/// The text of a file, and the line of each row.
fn write(width: usize, rows: &[Vec<String>], form: &Form, filler: usize) -> (Vec<u8>, Vec<u64>) {
    let line = |text: &[u8]| 1 + memchr::memchr_iter(b'\n', text).count() as u64;
    let header: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
    let mut text = if form.has_mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
    let mut lines = Vec::new();
    for (place, row) in [&header].into_iter().chain(rows).enumerate() {
        text.extend(form.line_end.repeat(form.blank[place]).as_bytes());
        if place > 0 {
            lines.push(line(&text));
        }
        text.extend(record(row, form));
        if place == 0 {
            // blank lines, after which the rows lie at any distance from the end of the first block
            text.extend(b" ".repeat(filler));
            text.extend(form.line_end.as_bytes());
        }
    }
    if !form.is_ended {
        text.truncate(text.len() - form.line_end.len());
    }
    (text, lines)
}

type Records = Vec<(u64, String)>;

/// The well-formed and the malformed records of a text, with their lines.
fn read(text: &[u8]) -> Result<(Records, Records), String> {
    let mut reader = CsvReader::open(text).map_err(|error| error.to_string())?;
    let (mut good, mut malformed) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block().map_err(|error| error.to_string())? {
        good.extend((0..block.rows()).map(|row| (block.line(row), block.record(row).to_owned())));
        malformed.extend(block.malformed().iter().map(|record| (record.line, record.record.clone())));
    }
    Ok((good, malformed))
}

proptest! {
    #![proptest_config(property_config::property_config(500))]

    #[test]
    fn cells_and_lines_are_read_as_they_were_written((width, rows) in table(), form in form()) {
        let (text, lines) = write(width, &rows, &form, 0);
        let (good, malformed) = read(&text).unwrap();
        prop_assert_eq!(malformed, vec![]);
        prop_assert_eq!(good.iter().map(|(line, _)| *line).collect::<Vec<_>>(), lines);
        let cells: Vec<Vec<String>> =
            good.iter().map(|(_, record)| fields(record).into_iter().map(String::from).collect()).collect();
        prop_assert_eq!(cells, rows);
    }

    #[test]
    fn another_reader_reads_what_is_written((width, rows) in table(), form in form()) {
        let form = Form { style: None, ..form };
        let (text, _) = write(width, &rows, &form, 0);
        let mut reader = ReaderBuilder::new().flexible(false).from_reader(text.as_slice());
        let cells: Vec<Vec<String>> =
            reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        // the other reader takes a blank line of spaces as a cell
        prop_assert_eq!(cells.into_iter().filter(|row| *row != [""]).collect::<Vec<_>>(), rows);
    }
}

proptest! {
    #![proptest_config(property_config::property_config(200))]

    #[test]
    fn the_end_of_a_block_changes_no_record((width, rows) in table(), form in form(), at in any::<prop::sample::Index>()) {
        let (text, lines) = write(width, &rows, &form, 0);
        let expected = read(&text).unwrap();
        let filler = BLOCK_BYTES - at.index(text.len() + 1);
        let (moved, same_lines) = write(width, &rows, &form, filler);
        prop_assert_eq!(same_lines, lines);
        prop_assert_eq!(read(&moved), Ok(expected));
    }
}

/// Bytes with many quotes, separators and line ends.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        8 => prop::sample::select(b",\"\n\r a1\x0c".to_vec()),
        1 => any::<u8>(),
    ];
    vec(byte, 0..80)
}

/// Checks that the records and blank lines between them are the whole text.
fn check_conserved(text: &[u8], records: &[(u64, String)]) -> Result<(), TestCaseError> {
    let starts: Vec<usize> =
        [0].into_iter().chain(text.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, at)| at)).collect();
    let start = |place: usize| records.get(place).map_or(text.len(), |(line, _)| starts[*line as usize - 1]);
    prop_assert!(text[..start(0)].iter().all(u8::is_ascii_whitespace));
    for (place, (line, record)) in records.iter().enumerate() {
        prop_assert!(start(place) <= start(place + 1), "line {}", line);
        let part = String::from_utf8_lossy(&text[start(place)..start(place + 1)]).into_owned();
        let rest = part.strip_prefix(record.as_str());
        prop_assert!(rest.is_some(), "line {}: {:?} does not begin with {:?}", line, part, record);
        let rest = rest.unwrap_or_default();
        prop_assert!(rest.is_empty() || rest.starts_with('\n') || rest.starts_with("\r\n") || rest == "\r", "{:?}", rest);
        prop_assert!(rest.bytes().all(|byte| byte.is_ascii_whitespace()), "{:?} is in no record", rest);
    }
    Ok(())
}

proptest! {
    #![proptest_config(property_config::property_config(2000))]

    #[test]
    fn every_byte_is_in_a_record_or_a_blank_line(body in bytes()) {
        let text = [b"a,b\n", body.as_slice()].concat();
        let (good, malformed) = read(&text).unwrap();
        for (_, record) in &good {
            prop_assert_eq!(fields(record).len(), 2, "{:?}", record);
        }
        let mut records = vec![(1, "a,b".to_owned())];
        records.extend(good.into_iter().chain(malformed));
        records.sort();
        check_conserved(&text, &records)?;
    }

    #[test]
    fn any_bytes_are_read_or_are_an_error(text in bytes()) {
        if let Err(message) = read(&text) {
            prop_assert!(!message.is_empty());
        }
    }
}
