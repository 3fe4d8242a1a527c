//! Where every row went.

use serde::Serialize;

/// Row counts. [`check`](Self::check) holds or the stage fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Balance {
    /// Records in the raw table, blank lines not counted.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Rows that break the schema.
    pub quarantined: u64,
    /// Rows equal to an earlier one.
    pub duplicates: u64,
    /// Training rows beyond the fences.
    pub trimmed: u64,
    /// Rows without a target.
    pub without_target: u64,
    /// Of the rows written, those to learn from.
    pub train: u64,
    /// Of the rows written, those to measure on.
    pub test: u64,
}

impl Balance {
    /// Whether rows in = rows out + quarantined + duplicates + trimmed + without target, and train + test = rows out.
    ///
    /// # Errors
    /// If a row was lost: a mistake in this program, which must not pass unseen.
    pub fn check(&self) -> anyhow::Result<()> {
        let accounted = self.rows_out + self.quarantined + self.duplicates + self.trimmed + self.without_target;
        anyhow::ensure!(
            accounted == self.rows_in && self.train + self.test == self.rows_out,
            "the row balance does not close: {self:?}. This is a fault of the program; nothing was written"
        );
        Ok(())
    }
}
