//! Good rows between the two passes, on disk instead of in memory.

use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek, SeekFrom, Write},
    path::Path,
};

use anyhow::Context;
use polars::prelude::*;

/// Blocks of rows in a nameless file: it is gone when the program is, however that ends.
pub(crate) struct Spill {
    file: File,
    /// Length in bytes of each block, an Arrow IPC stream.
    blocks: Vec<u64>,
}

impl Spill {
    /// An empty spill in `folder`.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        let file = tempfile::tempfile_in(folder).with_context(|| format!("{}: cannot write there", folder.display()))?;
        Ok(Self { file, blocks: Vec::new() })
    }

    /// Adds a block.
    pub(crate) fn push(&mut self, frame: &mut DataFrame) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        IpcStreamWriter::new(&mut bytes).finish(frame)?;
        self.file.write_all(&bytes).context("writing a temporary file beside the output")?;
        self.blocks.push(bytes.len() as u64);
        Ok(())
    }

    /// Calls `visit` with every block in order; `columns` are read, or all.
    pub(crate) fn visit(
        &self,
        columns: Option<Vec<String>>,
        mut visit: impl FnMut(DataFrame) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut reader = BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(0))?;
        for length in &self.blocks {
            let mut bytes = vec![0; usize::try_from(*length)?];
            reader.read_exact(&mut bytes)?;
            let mut frame = IpcStreamReader::new(Cursor::new(bytes)).with_columns(columns.clone()).finish()?;
            frame.rechunk_mut();
            visit(frame)?;
        }
        Ok(())
    }
}
