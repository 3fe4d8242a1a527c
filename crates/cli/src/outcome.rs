//! Results of programs, and failed checks.

use std::fmt;

use serde::Serialize;

/// A result to print: for people, and as one JSON line.
#[derive(Debug)]
pub struct Outcome {
    pub(crate) human: String,
    pub(crate) json: String,
    pub(crate) refusal: Option<String>,
}

impl Outcome {
    /// A successful result; `human` is the summary, `data` is the JSON output.
    pub fn done<T: Serialize>(data: &T, human: impl Into<String>) -> Self {
        let json = serde_json::to_string(data).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
        Self { human: human.into(), json, refusal: None }
    }

    /// Appends the summary of a second result; the JSON output is that of the first only.
    #[must_use]
    pub fn followed_by(mut self, second: Self) -> Self {
        self.human = format!("{}\n{}", self.human, second.human);
        self.refusal = self.refusal.or(second.refusal);
        self
    }

    /// Marks the result as a failed check (exit 1); `why` is printed to stderr after the summary.
    #[must_use]
    pub fn refused(mut self, why: impl Into<String>) -> Self {
        self.refusal = Some(why.into());
        self
    }
}

/// An error for a failed check (exit 1): the program itself ran without problems.
#[derive(Debug)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
