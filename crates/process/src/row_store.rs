//! Storage of rows between the two passes: in memory up to a limit, then on disk.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, Write},
    path::Path,
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use table_io::CheckedColumn;

/// Largest size of rows in memory, in bytes.
const MAX_MEMORY_BYTES: usize = 96 << 20;

/// Validated rows of one block.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ValidRows {
    /// Columns in the order of the schema.
    pub(crate) columns: Vec<Option<CheckedColumn>>,
    /// True for each valid row with a target.
    pub(crate) kept: Vec<bool>,
    /// True for each test row.
    pub(crate) test: Vec<bool>,
}

impl ValidRows {
    /// The numbers of the column with this index; NaN for missing.
    pub(crate) fn numbers(&self, place: usize) -> &[f64] {
        match &self.columns[place] {
            Some(CheckedColumn::Number(values)) => values,
            _ => &[],
        }
    }

    fn bytes(&self) -> usize {
        let columns = self.columns.iter().flatten().map(|column| match column {
            CheckedColumn::Number(values) => 8 * values.len(),
            CheckedColumn::Category(values) => 4 * values.codes.len(),
            CheckedColumn::Text(values) => values.iter().flatten().map(|text| text.len() + 32).sum(),
        });
        2 * self.kept.len() + columns.sum::<usize>()
    }
}

/// Blocks of rows, in order.
pub(crate) struct RowStore {
    memory: Vec<ValidRows>,
    bytes: usize,
    /// A nameless file, which disappears with the program, and the length of each block in it.
    disk: File,
    lengths: Vec<u64>,
}

impl RowStore {
    /// An empty store whose file is in `folder`.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        let disk = tempfile::tempfile_in(folder).with_context(|| format!("{}: cannot write there", folder.display()))?;
        Ok(Self { memory: Vec::new(), bytes: 0, disk, lengths: Vec::new() })
    }

    /// Adds a block.
    pub(crate) fn push(&mut self, rows: ValidRows) -> anyhow::Result<()> {
        self.bytes += rows.bytes();
        if self.bytes <= MAX_MEMORY_BYTES {
            self.memory.push(rows);
            return Ok(());
        }
        let bytes = bincode::serde::encode_to_vec(&rows, bincode::config::legacy())?;
        self.disk.write_all(&bytes).context("writing a temporary file beside the output")?;
        self.lengths.push(bytes.len() as u64);
        Ok(())
    }

    /// Calls `visit` with up to `count` blocks at a time, in order.
    pub(crate) fn visit(
        &self,
        count: usize,
        mut visit: impl FnMut(&[&ValidRows]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for blocks in self.memory.chunks(count) {
            visit(&blocks.iter().collect::<Vec<_>>())?;
        }
        let mut reader = BufReader::new(&self.disk);
        reader.rewind()?;
        for lengths in self.lengths.chunks(count) {
            let mut blocks = Vec::new();
            for length in lengths {
                let mut bytes = vec![0; usize::try_from(*length)?];
                reader.read_exact(&mut bytes).context("reading a temporary file")?;
                blocks.push(bincode::serde::decode_from_slice::<ValidRows, _>(&bytes, bincode::config::legacy())?.0);
            }
            visit(&blocks.iter().collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Categories;

    #[test]
    fn blocks_on_disk_are_read_in_order() {
        let mut store = RowStore::create(&std::env::temp_dir()).unwrap();
        let rows = |value: f64, len: usize| ValidRows {
            columns: vec![
                Some(CheckedColumn::Number(vec![value; len])),
                Some(CheckedColumn::Category(Categories { codes: vec![0; len], levels: vec!["a".into()] })),
                Some(CheckedColumn::Text(vec![Some("x".into()); 3])),
                None,
            ],
            kept: vec![true; len],
            test: vec![false; len],
        };
        for block in 0..5 {
            store.push(rows(f64::from(block), 6_000_000)).unwrap();
        }
        assert!(!store.lengths.is_empty() && !store.memory.is_empty());
        let mut first_values = Vec::new();
        store
            .visit(2, |blocks| {
                first_values.extend(blocks.iter().map(|rows| rows.numbers(0)[0]));
                Ok(())
            })
            .unwrap();
        assert_eq!(first_values, [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
