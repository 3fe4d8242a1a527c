//! Parsing of configurations within limits of nesting and size.
//!
//! libyaml's scanner takes time that grows with the square of the nesting, and aliases can expand to far more than the text. A parser with
//! linear time therefore checks the limits first, event by event.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use serde::de::DeserializeOwned;

use crate::config::error::ConfigError;

/// Largest size of a configuration in bytes: about a hundred times that of a table of a thousand columns.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;
/// Largest nesting of lists and maps. The deepest key of a configuration has six levels.
pub const MAX_NESTING: usize = 64;
/// Largest number of values of a configuration, with aliases expanded.
pub const MAX_VALUES: usize = 1_000_000;

/// Number of characters after a syntax error that libyaml gets for its message.
const CONTEXT_CHARACTERS: usize = 64;

/// Parses the text of a configuration.
///
/// # Errors
/// If the text is not YAML, exceeds a limit, or has a number that is not finite, an unknown key or a value of the wrong type; with line and
/// column.
pub fn parse_yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    if text.trim().is_empty() {
        return Err(ConfigError { line: None, column: None, message: "the file is empty".into() });
    }
    if text.len() > MAX_CONFIG_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_CONFIG_BYTES} are allowed", text.len());
        return Err(ConfigError { line: None, column: None, message });
    }
    if let Some(line) = text.lines().position(|line| line.starts_with("%TAG")) {
        let message = "%TAG directives are not allowed. Remove it";
        return Err(ConfigError { line: Some(line + 1), column: Some(1), message: message.into() });
    }
    match check_limits(text) {
        Ok(()) => serde_yaml::from_str(text).map_err(|error| ConfigError::from_yaml(&error)),
        Err(ReadError::Limit(error)) => Err(error),
        Err(ReadError::Syntax(error)) => Err(libyaml_error::<T>(text, &error)),
    }
}

/// The reason why a text is rejected.
enum ReadError {
    Limit(ConfigError),
    Syntax(ScanError),
}

/// A list or map that is not closed yet.
struct OpenCollection<'a> {
    is_map: bool,
    /// For a map: the key of the next value.
    key: Option<Cow<'a, str>>,
    /// Number of values so far, including itself and expanded aliases.
    values: usize,
    anchor: usize,
}

/// Checks the limits and all numbers.
fn check_limits(text: &str) -> Result<(), ReadError> {
    let mut open: Vec<OpenCollection> = Vec::new();
    // number of values of each anchor; `None` while it is open
    let mut anchors: Vec<Option<usize>> = vec![];
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| match error.info() {
            "recursion limit exceeded" => ReadError::Limit(too_deep(error.marker())),
            _ => ReadError::Syntax(error),
        })?;
        let (values, anchor, scalar) = match event {
            Event::SequenceStart(anchor, ..) | Event::MappingStart(anchor, ..) => {
                if open.len() >= MAX_NESTING {
                    return Err(ReadError::Limit(too_deep(&span.start)));
                }
                let is_map = matches!(event, Event::MappingStart(..));
                open.push(OpenCollection { is_map, key: None, values: 1, anchor });
                record_anchor(&mut anchors, anchor, None);
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { continue };
                (closed.values, closed.anchor, None)
            }
            Event::Alias(anchor) => {
                let Some(values) = anchors.get(anchor).copied().flatten() else {
                    let message = "an alias contains itself. Write the value out";
                    return Err(ReadError::Limit(error_at(&span.start, message.into())));
                };
                (values, 0, None)
            }
            Event::Scalar(text, style, anchor, _) => (1, anchor, Some((text, style))),
            _ => continue,
        };
        record_anchor(&mut anchors, anchor, Some(values));
        if let Some((text, ScalarStyle::Plain)) = &scalar
            && is_not_finite(text)
        {
            let message = format!("{}`{text}` is not a finite number; set a number, or put text in quotes", path(&open));
            return Err(ReadError::Limit(error_at(&span.start, message)));
        }
        if let Some(parent) = open.last_mut() {
            parent.values = parent.values.saturating_add(values);
            if parent.values > MAX_VALUES {
                let message = format!("with expanded aliases, the file has more than {MAX_VALUES} values");
                return Err(ReadError::Limit(error_at(&span.start, message)));
            }
            parent.key = match (parent.is_map, parent.key.take()) {
                (true, None) => Some(scalar.map_or(Cow::Borrowed("?"), |(text, _)| text)),
                _ => None,
            };
        }
    }
    Ok(())
}

fn record_anchor(anchors: &mut Vec<Option<usize>>, anchor: usize, values: Option<usize>) {
    // 0 is "no anchor"; anchors are numbered from 1
    if anchor > 0 {
        if anchors.len() <= anchor {
            anchors.resize(anchor + 1, None);
        }
        anchors[anchor] = values;
    }
}

/// The path of the current value, followed by a colon.
fn path(open: &[OpenCollection]) -> String {
    let keys: Vec<&str> = open.iter().filter_map(|open| open.key.as_deref()).collect();
    if keys.is_empty() { String::new() } else { format!("{}: ", keys.join(".")) }
}

/// True if YAML or its users read `text` as a number that is not finite: `.nan`, `-.inf`, 1e400.
fn is_not_finite(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_name = [".nan", ".inf"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    let is_digits = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    is_name || is_digits && text.parse::<f64>().is_ok_and(|number| !number.is_finite())
}

fn error_at(at: &Marker, message: String) -> ConfigError {
    ConfigError { line: Some(at.line()), column: Some(at.col() + 1), message }
}

fn too_deep(at: &Marker) -> ConfigError {
    error_at(at, format!("lists and maps are nested more than {MAX_NESTING} deep"))
}

/// The message of libyaml for a syntax error, which names the context. libyaml gets little more text than was checked before.
fn libyaml_error<T: DeserializeOwned>(text: &str, error: &ScanError) -> ConfigError {
    let fallback = || error_at(error.marker(), error.info().to_owned());
    let end = text.char_indices().nth(error.marker().index() + CONTEXT_CHARACTERS).map_or(text.len(), |(end, _)| end);
    match serde_yaml::from_str::<T>(&text[..end]) {
        // ignores errors that only exist because the text was cut
        Err(parsed) if end == text.len() || parsed.location().is_some_and(|place| place.index() < end) => {
            ConfigError::from_yaml(&parsed)
        }
        _ => fallback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn error_of(text: &str) -> String {
        parse_yaml::<Value>(text).unwrap_err().to_string()
    }

    #[test]
    fn text_within_the_limits_is_parsed() {
        let nested = format!("{}1{}", "[".repeat(MAX_NESTING), "]".repeat(MAX_NESTING));
        assert!(parse_yaml::<Value>(&nested).is_ok());
        let found: Value = parse_yaml("a: &x [1, 'nan', \".inf\", nan]\nb: [*x, *x]\n").unwrap();
        assert_eq!(found["b"][1][2], ".inf");
        assert_eq!(found["a"][3], "nan");
    }

    #[test]
    fn nesting_is_limited() {
        let expected = "lists and maps are nested more than 64 deep";
        assert_eq!(error_of(&"[".repeat(65)), format!("1:66: {expected}").replace("66", "65"));
        for text in ["[".repeat(200_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "[{a: ".repeat(50_000)] {
            assert!(error_of(&text).ends_with(expected), "{}", error_of(&text));
        }
        // brackets after what only one of the two parsers sees as an error
        for begin in ["a: 'b' 'c' ", "'", "it's: ", "a: |\n 'x\n", "\"", "# ", "a: !b'c "] {
            let started = std::time::Instant::now();
            let _ = parse_yaml::<Value>(&format!("{begin}{}", "[".repeat(400_000)));
            assert!(started.elapsed().as_secs() < 2, "{begin}");
        }
    }

    #[test]
    fn expanded_aliases_are_limited() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let inside = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{inside}]\n"));
        }
        let found = error_of(&text);
        assert!(found.ends_with("with expanded aliases, the file has more than 1000000 values"), "{found}");
        assert_eq!(error_of("a: &a [*a]\n"), "1:8: an alias contains itself. Write the value out");
    }

    #[test]
    fn long_files_and_directives_are_rejected() {
        let long = format!("a: {}\n", "x".repeat(MAX_CONFIG_BYTES));
        assert_eq!(error_of(&long), " the file has 4194308 bytes; at most 4194304 are allowed");
        assert_eq!(error_of("# c\n%TAG !a! b\n---\na: 1\n"), "2:1: %TAG directives are not allowed. Remove it");
    }

    #[test]
    fn numbers_must_be_finite() {
        for (text, expected) in [
            ("a: .nan\n", "1:4: a: `.nan` is not a finite number; set a number, or put text in quotes"),
            ("a:\n  b: [1, -.Inf]\n", "2:10: a.b: `-.Inf` is not a finite number; set a number, or put text in quotes"),
            (
                "a: {b: 1, c: {d: 1e400}}\n",
                "1:18: a.c.d: `1e400` is not a finite number; set a number, or put text in quotes",
            ),
        ] {
            assert_eq!(error_of(text), expected);
        }
        let digits = format!("a: {}\n", "9".repeat(400));
        assert!(error_of(&digits).contains("is not a finite number"));
    }

    #[test]
    fn syntax_errors_have_the_message_of_libyaml() {
        assert_eq!(
            error_of("a: {b: 1\n"),
            "2:1: did not find expected ',' or '}', while parsing a flow mapping at line 1 column 4"
        );
        assert!(error_of("a:\n\tb: 2\n").starts_with("2:1: found character that cannot start any token"));
    }
}
