//! Partition of a node's rows by its split.

use rayon::prelude::*;

use crate::grower::{histogram::ROWS_PER_TASK, splitter::SplitRule};

/// A split in terms of bins, for rows of the binned table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BinSplit {
    pub(crate) feature: u32,
    pub(crate) rule: SplitRule,
    /// The bin of missing values, and true if it goes left.
    pub(crate) missing: Option<(u8, bool)>,
    pub(crate) left: u32,
}

impl BinSplit {
    #[inline]
    pub(crate) fn goes_left(&self, bin: u8) -> bool {
        match (self.missing, self.rule) {
            (Some((missing, left)), _) if bin == missing => left,
            (_, SplitRule::UpTo(last)) => bin <= last,
            (_, SplitRule::In(set)) => set.contains(bin),
        }
    }
}

/// Moves the rows that go left before the others, both in their order; returns the number of rows that go left.
pub(crate) fn partition_rows(
    column: &[u8],
    split: &BinSplit,
    rows: &mut [u32],
    scratch: &mut [u32],
    parallel: bool,
) -> usize {
    // a table over all bins avoids a branch per row
    let table: [bool; 256] = std::array::from_fn(|bin| split.goes_left(bin as u8));
    let part = |rows: &mut [u32], scratch: &mut [u32]| {
        let (mut left, mut right) = (0, 0);
        for place in 0..rows.len() {
            let row = rows[place];
            let goes_left = table[usize::from(column[row as usize])];
            rows[left] = row;
            scratch[right] = row;
            left += usize::from(goes_left);
            right += usize::from(!goes_left);
        }
        left
    };
    if !parallel || rows.len() < 4 * ROWS_PER_TASK {
        let left = part(rows, scratch);
        let right = rows.len() - left;
        rows[left..].copy_from_slice(&scratch[..right]);
        return left;
    }
    let chunk = rows.len().div_ceil(rayon::current_num_threads());
    let lefts: Vec<usize> =
        rows.par_chunks_mut(chunk).zip(scratch.par_chunks_mut(chunk)).map(|(rows, scratch)| part(rows, scratch)).collect();
    let mut end = 0;
    for (index, left) in lefts.iter().enumerate() {
        rows.copy_within(index * chunk..index * chunk + left, end);
        end += left;
    }
    let mut place = end;
    for (index, left) in lefts.iter().enumerate() {
        let right = chunk.min(rows.len() - index * chunk) - left;
        rows[place..place + right].copy_from_slice(&scratch[index * chunk..index * chunk + right]);
        place += right;
    }
    end
}
