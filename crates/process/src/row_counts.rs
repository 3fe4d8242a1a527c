//! Row counts of the stage, which must add up.

use serde::Serialize;

/// Row counts by outcome. [`validate`](Self::validate) must succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RowCounts {
    /// Records of the raw table, without blank lines.
    pub rows_in: u64,
    /// Rows of the cleaned table.
    pub rows_out: u64,
    /// Invalid rows.
    pub quarantined: u64,
    /// Rows equal to an earlier one.
    pub duplicates: u64,
    /// Training rows outside the outlier bounds.
    pub trimmed: u64,
    /// Rows without a target.
    pub without_target: u64,
    /// Training rows of the cleaned table.
    pub train: u64,
    /// Test rows of the cleaned table.
    pub test: u64,
}

impl RowCounts {
    /// Checks that rows in = rows out + quarantined + duplicates + trimmed + without target, and train + test = rows out.
    ///
    /// # Errors
    /// If a row was lost, which is a bug of this program.
    pub fn validate(&self) -> anyhow::Result<()> {
        let total = self.rows_out + self.quarantined + self.duplicates + self.trimmed + self.without_target;
        anyhow::ensure!(
            total == self.rows_in && self.train + self.test == self.rows_out,
            "the row counts do not add up: {self:?}. This is a bug of the program; nothing was written"
        );
        Ok(())
    }
}
