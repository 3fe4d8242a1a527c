//! Finds rows that were there before, in bounded memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use rustc_hash::FxHashSet;

/// Identities looked at in one pass: what bounds the memory.
const PER_PASS: u64 = 2_000_000;

/// Collects the identities of rows, in order, on disk.
pub(crate) struct Identities {
    file: BufWriter<File>,
    rows: u64,
}

impl Identities {
    /// An empty collection in a nameless file in `folder`.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(folder)?), rows: 0 })
    }

    /// Adds the next row.
    pub(crate) fn push(&mut self, identity: u128) -> io::Result<()> {
        self.rows += 1;
        self.file.write_all(&identity.to_le_bytes())
    }

    /// Per row whether an equal row came before it. Many rows take several passes, each over those identities that fall to it.
    pub(crate) fn duplicates(self) -> io::Result<Vec<bool>> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let passes = self.rows.div_ceil(PER_PASS).max(1);
        let mut duplicate = vec![false; self.rows as usize];
        for pass in 0..passes {
            file.rewind()?;
            let mut reader = BufReader::with_capacity(1 << 20, &file);
            let mut seen = FxHashSet::default();
            seen.reserve((self.rows / passes) as usize);
            let mut bytes = [0; 16];
            for duplicate in &mut duplicate {
                reader.read_exact(&mut bytes)?;
                let identity = u128::from_le_bytes(bytes);
                if identity % u128::from(passes) == u128::from(pass) && !seen.insert(identity) {
                    *duplicate = true;
                }
            }
        }
        Ok(duplicate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_rows_stays_at_any_number_of_passes() {
        let folder = std::env::temp_dir();
        for rows in [10, PER_PASS + 10] {
            let mut identities = Identities::create(&folder).unwrap();
            for row in 0..rows {
                // each value twice in a row; low bits alike, so that every pass has some
                identities.push(u128::from(row / 2) * 7).unwrap();
            }
            let duplicates = identities.duplicates().unwrap();
            assert!(duplicates.iter().enumerate().all(|(row, duplicate)| *duplicate == (row % 2 == 1)));
        }
    }
}
