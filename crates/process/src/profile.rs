//! Profiles of the columns of the cleaned table, including their relation to the target.

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use schema::{ColumnType, MISSING_LEVEL, Schema};
use serde::Serialize;
use summary::{Frequencies, Moments, Quantiles};
use table_io::CheckedColumn;

use crate::row_store::ValidRows;

/// Number of training rows for the rank correlation: the first ones.
const MAX_RANKED_ROWS: usize = 5_000;
/// Largest number of distinct values that get a group each.
const MAX_SINGLE_VALUES: usize = 12;
/// Number of groups of columns with more values.
const GROUPS: usize = 10;

/// Profiles of all columns, updated batch by batch.
pub(crate) struct Profile {
    target: usize,
    pub(crate) columns: Vec<ColumnProfile>,
}

/// Selected rows of a block.
pub(crate) struct ProfileBatch<'a> {
    pub(crate) rows: &'a ValidRows,
    pub(crate) chosen: &'a [usize],
}

/// Profile of one column.
pub(crate) struct ColumnProfile {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) count: u64,
    pub(crate) missing: u64,
    pub(crate) quantiles: Quantiles,
    /// Moments over test rows, with the target.
    test: Moments,
    /// Moments over training rows, with the target.
    pub(crate) relation: Moments,
    /// Values of this column and of the target in the first training rows.
    pub(crate) ranked: Vec<(f64, f64)>,
    /// The levels of a category over all rows.
    pub(crate) levels: Frequencies,
    /// The target by level, over training rows.
    pub(crate) level_targets: FxHashMap<String, TargetSum>,
    /// Moments of the target over training rows with a value in this category.
    pub(crate) target: Moments,
}

/// The target over the training rows of a level.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetSum {
    rows: u64,
    /// The sum of the target minus its first value.
    sum: f64,
}

/// Mean of the target in a group of rows with similar values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct TargetMean {
    /// Mean of the column.
    pub(crate) value: f64,
    /// Mean of the target.
    pub(crate) target_mean: f64,
    /// Number of rows.
    pub(crate) rows: usize,
}

impl TargetMean {
    fn from_pairs(pairs: &[(f64, f64)]) -> Self {
        let mean = |part: fn(&(f64, f64)) -> f64| pairs.iter().map(part).sum::<f64>() / pairs.len() as f64;
        Self { value: mean(|pair| pair.0), target_mean: mean(|pair| pair.1), rows: pairs.len() }
    }
}

impl Profile {
    /// A profile without rows.
    pub(crate) fn new(schema: &Schema) -> Self {
        let columns = schema.columns().iter().map(|column| ColumnProfile {
            name: column.name.clone(),
            kind: column.spec.kind,
            count: 0,
            missing: 0,
            quantiles: Quantiles::default(),
            test: Moments::default(),
            relation: Moments::default(),
            ranked: Vec::new(),
            levels: Frequencies::default(),
            level_targets: FxHashMap::default(),
            target: Moments::default(),
        });
        Self { target: schema.target_index(), columns: columns.collect() }
    }

    /// Adds rows, in order.
    pub(crate) fn update(&mut self, batches: &[ProfileBatch]) {
        let target = self.target;
        self.columns.par_iter_mut().enumerate().for_each(|(place, column)| {
            for batch in batches {
                column.update(batch, place, batch.rows.numbers(target));
            }
        });
    }
}

impl ColumnProfile {
    fn update(&mut self, batch: &ProfileBatch, place: usize, target: &[f64]) {
        let ProfileBatch { rows, chosen } = batch;
        self.count += chosen.len() as u64;
        match &rows.columns[place] {
            Some(CheckedColumn::Number(values)) => self.update_numbers(chosen, values, target, &rows.test),
            Some(CheckedColumn::Category(values)) => {
                let codes = chosen.iter().map(|row| values.codes[*row]);
                self.missing += self.levels.add_codes(&values.levels, codes);
                let mut sums: Vec<TargetSum> = vec![TargetSum::default(); values.levels.len()];
                for row in chosen.iter().filter(|row| !rows.test[**row]) {
                    let code = values.codes[*row];
                    if code != MISSING_LEVEL {
                        self.target.add(target[*row], 0.0);
                        sums[code as usize].rows += 1;
                        sums[code as usize].sum += target[*row] - self.target.shift_x();
                    }
                }
                for (name, batch) in values.levels.iter().zip(sums).filter(|(_, batch)| batch.rows > 0) {
                    let level = self.level_targets.entry(name.clone()).or_default();
                    level.rows += batch.rows;
                    level.sum += batch.sum;
                }
            }
            Some(CheckedColumn::Text(values)) => {
                self.missing += chosen.iter().filter(|row| values[**row].is_none()).count() as u64;
            }
            None => self.missing += chosen.len() as u64,
        }
    }

    fn update_numbers(&mut self, chosen: &[usize], values: &[f64], target: &[f64], test: &[bool]) {
        for row in chosen {
            let value = values[*row];
            if value.is_nan() {
                self.missing += 1;
                continue;
            }
            self.quantiles.add(value);
            if test[*row] {
                self.test.add(value, target[*row]);
            } else {
                self.relation.add(value, target[*row]);
                if self.ranked.len() < MAX_RANKED_ROWS {
                    self.ranked.push((value, target[*row]));
                }
            }
        }
    }

    /// Moments over all rows, with the target.
    pub(crate) fn moments(&self) -> Moments {
        self.relation.merged(&self.test)
    }

    /// Pearson's correlation with the target over training rows.
    pub(crate) fn correlation(&self) -> Option<f64> {
        self.relation.correlation()
    }

    /// Spearman's rank correlation with the target over the first training rows.
    pub(crate) fn rank_correlation(&self) -> Option<f64> {
        let (x, y): (Vec<f64>, Vec<f64>) = self.ranked.iter().copied().unzip();
        let mut moments = Moments::default();
        ranks(&x).into_iter().zip(ranks(&y)).for_each(|(x, y)| moments.add(x, y));
        moments.correlation()
    }

    /// The mean of the target at a level of a category, over training rows.
    pub(crate) fn target_mean(&self, level: &str) -> Option<f64> {
        let TargetSum { rows, sum } = self.level_targets.get(level)?;
        Some(self.target.shift_x() + sum / *rows as f64)
    }

    /// Mean of the target along the column: by value if there are few, else by tenths of the first training rows.
    pub(crate) fn target_means(&self) -> Vec<TargetMean> {
        let mut pairs = self.ranked.clone();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let values: Vec<&[(f64, f64)]> = pairs.chunk_by(|a, b| a.0 == b.0).collect();
        let min_group_rows = if values.len() <= MAX_SINGLE_VALUES { 1 } else { pairs.len().div_ceil(GROUPS) };
        let (mut groups, mut first, mut group_rows) = (Vec::new(), 0, 0);
        for value in values {
            group_rows += value.len();
            if group_rows >= min_group_rows || first + group_rows == pairs.len() {
                groups.push(TargetMean::from_pairs(&pairs[first..first + group_rows]));
                (first, group_rows) = (first + group_rows, 0);
            }
        }
        groups
    }

    /// The share of the target's variance that the levels explain (eta squared), over training rows.
    pub(crate) fn explained_variance(&self) -> Option<f64> {
        // in a fixed order, so that the last digits do not depend on the map
        let levels = self.levels.levels();
        let sums = levels.into_iter().filter_map(|level| self.level_targets.get(level));
        self.target.explained_variance(sums.map(|level| (level.sum, level.rows)))
    }
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + f64::midpoint(group.len() as f64, 1.0);
        group.iter().for_each(|row| ranks[*row] = rank);
        first += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_means_are_by_value_or_by_tenths() {
        let schema = "table:\n  target: y\n  columns:\n    y: {type: float}\n    x: {type: float}\n";
        let table = schema::PipelineConfig::parse(schema).unwrap().table;
        let mut profile = Profile::new(&Schema::from_section(&table).unwrap());
        let column = &mut profile.columns[1];
        column.ranked = vec![(2.0, 10.0), (1.0, 4.0), (2.0, 20.0)];
        let few = column.target_means();
        let rows = |means: &[TargetMean]| means.iter().map(|mean| mean.rows).collect::<Vec<_>>();
        assert_eq!(few[1], TargetMean { value: 2.0, target_mean: 15.0, rows: 2 });
        assert_eq!(rows(&few), [1, 2]);
        column.ranked = (0..95).map(|x| (f64::from(x.max(20)), f64::from(x))).collect();
        // the first 21 rows have one value, which is not divided
        assert_eq!(rows(&column.target_means()), [21, 10, 10, 10, 10, 10, 10, 10, 4]);
    }

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0]), [2.5, 1.0, 2.5]);
    }
}
