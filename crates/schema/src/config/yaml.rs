//! Reads the text of a configuration within limits, so that no text costs more time or memory than its length explains.
//!
//! libyaml's scanner takes time that grows with the square of the nesting, and aliases can stand for far more than is written. So the
//! text is walked through first, event by event, by a parser whose time is linear; only text within the limits goes on.

use std::borrow::Cow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use serde::de::DeserializeOwned;

use crate::config::error::ConfigError;

/// The largest configuration that is read, in bytes: about a hundred times that of a table of a thousand columns.
pub const MAX_CONFIG_BYTES: usize = 4 << 20;
/// How many lists and maps may stand in each other. The deepest key of a configuration stands in six.
pub const MAX_NESTING: usize = 64;
/// How many values a configuration may have, with aliases written out.
pub const MAX_VALUES: usize = 1_000_000;

/// How many characters behind a syntax error are shown to the second parser, so that it can word the error.
const BEHIND_ERROR: usize = 64;

/// Parses the text of a configuration.
///
/// # Errors
/// With line and column where the text is not YAML, is over a limit, holds a number that is not finite, has an unknown key or a value of
/// the wrong type.
pub fn parse_yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    if text.trim().is_empty() {
        return Err(ConfigError { line: None, column: None, message: "the file is empty".into() });
    }
    if text.len() > MAX_CONFIG_BYTES {
        let message = format!("the file has {} bytes; a configuration may have {MAX_CONFIG_BYTES}", text.len());
        return Err(ConfigError { line: None, column: None, message });
    }
    if let Some(line) = text.lines().position(|line| line.starts_with("%TAG")) {
        let message = "a configuration has no %TAG directives; remove it";
        return Err(ConfigError { line: Some(line + 1), column: Some(1), message: message.into() });
    }
    match walk(text) {
        Ok(()) => serde_yaml::from_str(text).map_err(|error| ConfigError::from_yaml(&error)),
        Err(Refusal::Limit(error)) => Err(error),
        Err(Refusal::Syntax(error)) => Err(reworded::<T>(text, &error)),
    }
}

/// Why a text is not read.
enum Refusal {
    Limit(ConfigError),
    Syntax(ScanError),
}

/// A list or a map that is not closed yet.
struct Open<'a> {
    is_map: bool,
    /// Of a map: the key whose value comes next.
    key: Option<Cow<'a, str>>,
    /// How many values it holds so far, itself among them and aliases written out.
    values: usize,
    anchor: usize,
}

/// Checks the limits and every number.
fn walk(text: &str) -> Result<(), Refusal> {
    let mut open: Vec<Open> = Vec::new();
    // per anchor how many values it stands for; none while it is open
    let mut anchors: Vec<Option<usize>> = vec![];
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| match error.info() {
            "recursion limit exceeded" => Refusal::Limit(too_deep(error.marker())),
            _ => Refusal::Syntax(error),
        })?;
        let (values, anchor, scalar) = match event {
            Event::SequenceStart(anchor, ..) | Event::MappingStart(anchor, ..) => {
                if open.len() >= MAX_NESTING {
                    return Err(Refusal::Limit(too_deep(&span.start)));
                }
                let is_map = matches!(event, Event::MappingStart(..));
                open.push(Open { is_map, key: None, values: 1, anchor });
                remember(&mut anchors, anchor, None);
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { continue };
                (closed.values, closed.anchor, None)
            }
            Event::Alias(anchor) => {
                let Some(values) = anchors.get(anchor).copied().flatten() else {
                    let message = "an alias stands for something that holds it; write the value out";
                    return Err(Refusal::Limit(fault(&span.start, message.into())));
                };
                (values, 0, None)
            }
            Event::Scalar(text, style, anchor, _) => (1, anchor, Some((text, style))),
            _ => continue,
        };
        remember(&mut anchors, anchor, Some(values));
        if let Some((text, ScalarStyle::Plain)) = &scalar
            && is_not_finite(text)
        {
            let message = format!("{}`{text}` is not a finite number; set a number, or put text in quotes", path(&open));
            return Err(Refusal::Limit(fault(&span.start, message)));
        }
        if let Some(parent) = open.last_mut() {
            parent.values = parent.values.saturating_add(values);
            if parent.values > MAX_VALUES {
                let message = format!("with its aliases written out the file has more than {MAX_VALUES} values");
                return Err(Refusal::Limit(fault(&span.start, message)));
            }
            parent.key = match (parent.is_map, parent.key.take()) {
                (true, None) => Some(scalar.map_or(Cow::Borrowed("?"), |(text, _)| text)),
                _ => None,
            };
        }
    }
    Ok(())
}

fn remember(anchors: &mut Vec<Option<usize>>, anchor: usize, values: Option<usize>) {
    // 0 is "no anchor"; the parser numbers them one after the other
    if anchor > 0 {
        if anchors.len() <= anchor {
            anchors.resize(anchor + 1, None);
        }
        anchors[anchor] = values;
    }
}

/// The keys that lead to the value at hand, with a colon behind them.
fn path(open: &[Open]) -> String {
    let keys: Vec<&str> = open.iter().filter_map(|open| open.key.as_deref()).collect();
    if keys.is_empty() { String::new() } else { format!("{}: ", keys.join(".")) }
}

/// Whether YAML or its users take `text` for a number that is not finite: `.nan`, `-.inf`, 1e400.
fn is_not_finite(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_name = [".nan", ".inf"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    let is_digits = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    is_name || is_digits && text.parse::<f64>().is_ok_and(|number| !number.is_finite())
}

fn fault(at: &Marker, message: String) -> ConfigError {
    ConfigError { line: Some(at.line()), column: Some(at.col() + 1), message }
}

fn too_deep(at: &Marker) -> ConfigError {
    fault(at, format!("lists and maps are nested more than {MAX_NESTING} deep"))
}

/// A syntax error in the words of libyaml, which name what it was reading. It is shown no more than what was walked through before.
fn reworded<T: DeserializeOwned>(text: &str, error: &ScanError) -> ConfigError {
    let own = || fault(error.marker(), error.info().to_owned());
    let end = text.char_indices().nth(error.marker().index() + BEHIND_ERROR).map_or(text.len(), |(end, _)| end);
    match serde_yaml::from_str::<T>(&text[..end]) {
        // what is wrong only because the text was cut is not meant
        Err(theirs) if end == text.len() || theirs.location().is_some_and(|place| place.index() < end) => {
            ConfigError::from_yaml(&theirs)
        }
        _ => own(),
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
    fn what_is_within_the_limits_is_read() {
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
        // brackets behind what only one of the two parsers takes for an error
        for begin in ["a: 'b' 'c' ", "'", "it's: ", "a: |\n 'x\n", "\"", "# ", "a: !b'c "] {
            let started = std::time::Instant::now();
            let _ = parse_yaml::<Value>(&format!("{begin}{}", "[".repeat(400_000)));
            assert!(started.elapsed().as_secs() < 2, "{begin}");
        }
    }

    #[test]
    fn aliases_stand_for_no_more_than_the_limit() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let inside = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{inside}]\n"));
        }
        let found = error_of(&text);
        assert!(found.ends_with("with its aliases written out the file has more than 1000000 values"), "{found}");
        assert_eq!(error_of("a: &a [*a]\n"), "1:8: an alias stands for something that holds it; write the value out");
    }

    #[test]
    fn long_files_and_directives_are_refused() {
        let long = format!("a: {}\n", "x".repeat(MAX_CONFIG_BYTES));
        assert_eq!(error_of(&long), " the file has 4194308 bytes; a configuration may have 4194304");
        assert_eq!(error_of("# c\n%TAG !a! b\n---\na: 1\n"), "2:1: a configuration has no %TAG directives; remove it");
    }

    #[test]
    fn numbers_are_finite() {
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
    fn syntax_errors_are_worded_by_libyaml() {
        assert_eq!(
            error_of("a: {b: 1\n"),
            "2:1: did not find expected ',' or '}', while parsing a flow mapping at line 1 column 4"
        );
        assert!(error_of("a:\n\tb: 2\n").starts_with("2:1: found character that cannot start any token"));
    }
}
