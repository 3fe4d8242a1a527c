//! Errors of configurations, with line and column.

use thiserror::Error;

/// An invalid configuration. It is displayed as `line:column: message`, as far as the location is known, after the file's name and a colon.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{}{message}", position_text(*line, *column))]
pub struct ConfigError {
    /// 1-based line in the file.
    pub line: Option<usize>,
    /// 1-based column in the file.
    pub column: Option<usize>,
    /// The cause and the remedy.
    pub message: String,
}

/// Types of Rust that the YAML parser names in a message, and what a reader of a configuration calls them.
const TYPE_NAMES: [(&str, &str); 7] = [
    ("f64", "a number"),
    ("i64", "a whole number"),
    ("u8", "a whole number from 0 to 255"),
    ("u32", "a whole number that is not negative"),
    ("u64", "a whole number that is not negative"),
    ("usize", "a whole number that is not negative"),
    ("a boolean", "true or false"),
];

impl ConfigError {
    /// An error of the key at `path`, found after parsing.
    pub fn at(text: &str, path: &[&str], message: impl Into<String>) -> Self {
        crate::config::error::SettingError::new(path, message).locate(text)
    }

    /// An error of the YAML parser, with its location.
    pub(crate) fn from_yaml(error: &serde_yaml::Error) -> Self {
        let location = error.location();
        let mut message = error.to_string();
        if let Some(place) = &location {
            // the location is displayed before the message
            message = message.replace(&format!(" at line {} column {}", place.line(), place.column()), "");
        }
        for (name, words) in TYPE_NAMES {
            if let Some(start) = message.strip_suffix(&format!(", expected {name}")) {
                message = format!("{start}, expected {words}");
            }
        }
        Self {
            line: location.as_ref().map(serde_yaml::Location::line),
            column: location.as_ref().map(serde_yaml::Location::column),
            message: crate::name::printable(&message).into_owned(),
        }
    }
}

pub(crate) fn position_text(line: Option<usize>, column: Option<usize>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!("{line}:{column}: "),
        (Some(line), None) => format!("{line}: "),
        _ => " ".to_owned(),
    }
}

/// A setting that contradicts another one or the table. `path` is its key.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{}: {message}", crate::name::printable(&path.join(".")))]
pub struct SettingError {
    /// The keys that lead to the setting, for example `table`, `columns`, `price`.
    pub path: Vec<String>,
    /// The cause and the remedy.
    pub message: String,
}

impl SettingError {
    /// An error of the key at `path`.
    pub fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), message: message.into() }
    }

    /// The error with the line of its key in `text`, the text of the configuration.
    pub fn locate(&self, text: &str) -> ConfigError {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        ConfigError { line: crate::config::location::line_of(text, &path), column: None, message: self.to_string() }
    }

    pub(crate) fn column(name: &str, message: impl Into<String>) -> Self {
        Self::new(&["table", "columns", name], message)
    }
}
