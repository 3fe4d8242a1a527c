//! What a program found out, and whether the answer is yes.

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
    /// The program is done; `human` is the summary, `data` the same for machines.
    pub fn done<T: Serialize>(data: &T, human: impl Into<String>) -> Self {
        let json = serde_json::to_string(data).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
        Self { human: human.into(), json, refusal: None }
    }

    /// What came of a second piece of work stands below; machines are told of the first alone.
    #[must_use]
    pub fn followed_by(mut self, second: Self) -> Self {
        self.human = format!("{}\n{}", self.human, second.human);
        self.refusal = self.refusal.or(second.refusal);
        self
    }

    /// The program ran and the answer is no (exit 1); `why` goes to stderr after the summary.
    #[must_use]
    pub fn refused(mut self, why: impl Into<String>) -> Self {
        self.refusal = Some(why.into());
        self
    }
}

/// An error that is an answer: the program ran, and the answer is no (exit 1).
#[derive(Debug)]
pub struct No(pub String);

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for No {}
