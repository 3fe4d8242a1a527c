//! Detection of duplicate rows in bounded memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use rustc_hash::FxHashSet;

/// Largest number of content hashes in memory.
const MAX_IN_MEMORY: usize = 2_000_000;

/// Takes the content hashes of rows in order and finds duplicates.
///
/// The first [`MAX_IN_MEMORY`] distinct hashes are kept in memory. Other rows are deferred to a file and compared with each other at the
/// end, in several passes if necessary.
pub(crate) struct Duplicates {
    hashes: FxHashSet<u128>,
    /// True for each row that is known to be a duplicate.
    is_duplicate: Vec<bool>,
    /// Deferred rows: number and hash.
    deferred: BufWriter<File>,
    deferred_rows: usize,
}

impl Duplicates {
    /// An empty detector; deferred rows go to a nameless file in `folder`.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let deferred = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(folder)?);
        Ok(Self { hashes: FxHashSet::default(), is_duplicate: Vec::new(), deferred, deferred_rows: 0 })
    }

    /// Reserves memory for about `rows` more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.hashes.reserve(rows.min(MAX_IN_MEMORY));
        self.is_duplicate.reserve(rows);
    }

    /// Adds the next row.
    pub(crate) fn push(&mut self, identity: u128) -> io::Result<()> {
        let full = self.hashes.len() >= MAX_IN_MEMORY;
        let duplicate = if full { self.hashes.contains(&identity) } else { !self.hashes.insert(identity) };
        if full && !duplicate {
            self.deferred_rows += 1;
            self.deferred.write_all(&(self.is_duplicate.len() as u64).to_le_bytes())?;
            self.deferred.write_all(&identity.to_le_bytes())?;
        }
        self.is_duplicate.push(duplicate);
        Ok(())
    }

    /// True for each row that equals an earlier one.
    pub(crate) fn finish(self) -> io::Result<Vec<bool>> {
        let Self { mut hashes, mut is_duplicate, deferred, deferred_rows } = self;
        let mut file = deferred.into_inner().map_err(io::IntoInnerError::into_error)?;
        let passes = deferred_rows.div_ceil(MAX_IN_MEMORY) as u128;
        for pass in 0..passes {
            hashes.clear();
            file.rewind()?;
            let mut reader = BufReader::with_capacity(1 << 20, &file);
            let (mut row, mut identity) = ([0; 8], [0; 16]);
            for _ in 0..deferred_rows {
                reader.read_exact(&mut row)?;
                reader.read_exact(&mut identity)?;
                let identity = u128::from_le_bytes(identity);
                if identity % passes == pass && !hashes.insert(identity) {
                    is_duplicate[u64::from_le_bytes(row) as usize] = true;
                }
            }
        }
        Ok(is_duplicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_rows_is_kept() {
        for rows in [10, 3 * MAX_IN_MEMORY as u64 * 2 + 10] {
            let mut duplicates = Duplicates::create(&std::env::temp_dir()).unwrap();
            for row in 0..rows {
                duplicates.push(u128::from(row / 2) * 7).unwrap();
            }
            let found = duplicates.finish().unwrap();
            assert!(found.iter().enumerate().all(|(row, duplicate)| *duplicate == (row % 2 == 1)));
        }
    }
}
