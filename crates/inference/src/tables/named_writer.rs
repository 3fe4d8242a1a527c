//! An output with the name of its file, for messages.

use std::io::Write;

use anyhow::Context;

/// An output with the name of its file.
pub struct NamedWriter<'a> {
    name: String,
    out: &'a mut (dyn Write + Send),
}

impl<'a> NamedWriter<'a> {
    /// An output that messages call `name`.
    pub fn new(name: impl Into<String>, out: &'a mut (dyn Write + Send)) -> Self {
        Self { name: name.into(), out }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// If they cannot be written. The message names the file.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).with_context(|| format!("{}: cannot write it", self.name))
    }
}
