//! Finds rows that were there before, in bounded memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use rustc_hash::FxHashSet;

/// Identities held in memory at a time: what bounds it.
const IN_MEMORY: usize = 2_000_000;

/// Takes the identities of rows in order and tells which were there before.
///
/// The first [`IN_MEMORY`] distinct ones are remembered; a row equal to none of them is put off to a file, to be compared with the
/// others there at the end, in as many passes as it takes.
pub(crate) struct Duplicates {
    seen: FxHashSet<u128>,
    /// Per row whether it is a duplicate, as far as is known.
    known: Vec<bool>,
    /// Rows to compare at the end: number and identity.
    put_off: BufWriter<File>,
    put_off_rows: usize,
}

impl Duplicates {
    /// Nothing seen; what is put off goes to a nameless file in `folder`.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let put_off = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(folder)?);
        Ok(Self { seen: FxHashSet::default(), known: Vec::new(), put_off, put_off_rows: 0 })
    }

    /// Makes room for about `rows` more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.seen.reserve(rows.min(IN_MEMORY));
        self.known.reserve(rows);
    }

    /// Takes the next row.
    pub(crate) fn push(&mut self, identity: u128) -> io::Result<()> {
        let full = self.seen.len() >= IN_MEMORY;
        let duplicate = if full { self.seen.contains(&identity) } else { !self.seen.insert(identity) };
        if full && !duplicate {
            self.put_off_rows += 1;
            self.put_off.write_all(&(self.known.len() as u64).to_le_bytes())?;
            self.put_off.write_all(&identity.to_le_bytes())?;
        }
        self.known.push(duplicate);
        Ok(())
    }

    /// Per row whether an equal row came before it.
    pub(crate) fn finish(self) -> io::Result<Vec<bool>> {
        let Self { mut seen, mut known, put_off, put_off_rows } = self;
        let mut file = put_off.into_inner().map_err(io::IntoInnerError::into_error)?;
        let passes = put_off_rows.div_ceil(IN_MEMORY) as u128;
        for pass in 0..passes {
            seen.clear();
            file.rewind()?;
            let mut reader = BufReader::with_capacity(1 << 20, &file);
            let (mut row, mut identity) = ([0; 8], [0; 16]);
            for _ in 0..put_off_rows {
                reader.read_exact(&mut row)?;
                reader.read_exact(&mut identity)?;
                let identity = u128::from_le_bytes(identity);
                if identity % passes == pass && !seen.insert(identity) {
                    known[u64::from_le_bytes(row) as usize] = true;
                }
            }
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_rows_stays_however_many_there_are() {
        for rows in [10, 3 * IN_MEMORY as u64 * 2 + 10] {
            let mut duplicates = Duplicates::create(&std::env::temp_dir()).unwrap();
            for row in 0..rows {
                duplicates.push(u128::from(row / 2) * 7).unwrap();
            }
            let found = duplicates.finish().unwrap();
            assert!(found.iter().enumerate().all(|(row, duplicate)| *duplicate == (row % 2 == 1)));
        }
    }
}
