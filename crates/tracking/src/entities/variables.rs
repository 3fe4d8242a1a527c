//! Environment variables, as the caller looks them up: this crate reads no environment itself.

/// Looks up an environment variable that is set and not empty.
pub type VariableLookup<'a> = &'a dyn Fn(&str) -> Option<String>;
