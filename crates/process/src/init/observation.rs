//! Observed values of one column.

use rustc_hash::FxHashMap;

/// Largest number of distinct cells that are counted; a column with more is not a category.
const MAX_DISTINCT: usize = 2_000;
/// Longest cell of a category, in bytes.
const MAX_LEVEL_BYTES: usize = 200;
/// Longest cell of a number or date, in bytes.
const MAX_VALUE_BYTES: usize = 1_000;

/// Formats of dates that are tried.
pub(super) const DATE_FORMATS: [&str; 6] = ["%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%dT%H%M%S"];

/// Texts that usually mean a missing value.
pub(super) const MISSING: [&str; 9] = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "?"];

/// Counts of the cells of one column.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnObservation {
    pub(super) rows: u64,
    /// Counts of texts that usually mean a missing value.
    pub(super) missing: FxHashMap<String, u64>,
    pub(super) integers: u64,
    pub(super) floats: u64,
    /// Numbers with a leading zero, which are codes.
    pub(super) leading_zeros: u64,
    pub(super) dates: [u64; DATE_FORMATS.len()],
    pub(super) texts: u64,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) values: FxHashMap<String, u64>,
    /// True if there are more distinct cells than are counted.
    pub(super) many: bool,
}

impl ColumnObservation {
    /// Adds a trimmed cell.
    pub(super) fn add(&mut self, cell: &str) {
        self.rows += 1;
        if MISSING.contains(&cell) {
            *self.missing.entry(cell.to_owned()).or_default() += 1;
            return;
        }
        if cell.len() > MAX_LEVEL_BYTES {
            self.many = true;
        }
        if cell.len() > MAX_VALUE_BYTES {
            self.texts += 1;
            return;
        }
        if !self.many {
            *self.values.entry(cell.to_owned()).or_default() += 1;
            self.many = self.values.len() > MAX_DISTINCT;
        }
        let number = cell.parse::<f64>().ok().filter(|value| value.is_finite());
        if let Some(value) = number {
            self.min = Some(self.min.map_or(value, |min| min.min(value)));
            self.max = Some(self.max.map_or(value, |max| max.max(value)));
            self.leading_zeros += u64::from(cell.len() > 1 && cell.starts_with('0') && !cell.starts_with("0."));
            if value.fract() == 0.0 && value.abs() < 9e15 { self.integers += 1 } else { self.floats += 1 }
        } else {
            self.texts += 1;
            if cell.len() >= 8 && cell.as_bytes()[0].is_ascii_digit() {
                for (count, format) in self.dates.iter_mut().zip(DATE_FORMATS) {
                    *count += u64::from(schema::is_date(cell, format));
                }
            }
        }
    }

    /// Adds the counts of another batch.
    pub(super) fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.integers += other.integers;
        self.floats += other.floats;
        self.leading_zeros += other.leading_zeros;
        self.texts += other.texts;
        self.dates.iter_mut().zip(other.dates).for_each(|(own, added)| *own += added);
        self.min = [self.min, other.min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f64::max);
        self.many |= other.many;
        for (cell, count) in other.missing {
            *self.missing.entry(cell).or_default() += count;
        }
        for (cell, count) in other.values {
            *self.values.entry(cell).or_default() += count;
        }
        self.many |= self.values.len() > MAX_DISTINCT;
    }

    /// Number of cells that are not missing.
    pub(super) fn present(&self) -> u64 {
        self.integers + self.floats + self.texts
    }

    /// Number of missing cells.
    pub(super) fn absent(&self) -> u64 {
        self.missing.values().sum()
    }

    /// Share of distinct cells among those that are not missing, 0 to 1; 1 if there are too many to count.
    pub(super) fn distinct_share(&self) -> f64 {
        if self.many { 1.0 } else { self.values.len() as f64 / (self.present().max(1)) as f64 }
    }
}
