//! Identity of rows by their validated content, and their split by a hash of it.

use table_io::{CheckedBlock, CheckedColumn};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// Writes the cell of `row` in `column` to `buffer`: a tag, then bits, or bytes with their length.
fn push_cell(buffer: &mut Vec<u8>, column: Option<&CheckedColumn>, row: usize) {
    let text = match column {
        Some(CheckedColumn::Number(values)) if !values[row].is_nan() => {
            buffer.push(1);
            // -0 and 0 are one value
            buffer.extend((values[row] + 0.0).to_bits().to_le_bytes());
            return;
        }
        Some(CheckedColumn::Category(values)) => values.levels.get(values.codes[row] as usize).map(String::as_str),
        Some(CheckedColumn::Text(values)) => values[row].as_deref(),
        Some(CheckedColumn::Number(_)) | None => None,
    };
    match text {
        Some(text) => {
            buffer.push(2);
            buffer.extend((text.len() as u32).to_le_bytes());
            buffer.extend(text.as_bytes());
        }
        None => buffer.push(0),
    }
}

/// Content hashes and splits of the rows of a block.
pub(crate) struct RowIdentities {
    /// A 128-bit hash of the content of each kept row; equal for equal rows only.
    pub(crate) content: Vec<u128>,
    /// True for each row that is a test row.
    pub(crate) test: Vec<bool>,
}

/// Hashes the rows of `checked` that are `kept`, and assigns them to a split. The split depends on the seed and the row's content, or on
/// the `key` column where the row has a value in it.
pub(crate) fn assign_split(
    checked: &CheckedBlock,
    kept: &[bool],
    key: Option<usize>,
    seed: u64,
    test: f64,
) -> RowIdentities {
    let (mut buffer, mut cell) = (Vec::with_capacity(256), Vec::new());
    let mut identities = RowIdentities { content: Vec::with_capacity(kept.len()), test: vec![false; kept.len()] };
    for row in (0..kept.len()).filter(|row| kept[*row]) {
        buffer.clear();
        for column in &checked.columns {
            push_cell(&mut buffer, column.as_ref(), row);
        }
        let content = xxh3_128(&buffer);
        identities.content.push(content);
        cell.clear();
        if let Some(key) = key {
            push_cell(&mut cell, checked.columns[key].as_ref(), row);
        }
        let hashed = if cell.len() > 1 { cell.as_slice() } else { &content.to_le_bytes() };
        let share = xxh3_64_with_seed(hashed, seed) as f64 / 2f64.powi(64);
        identities.test[row] = share < test;
    }
    identities
}
