//! What the cleaned columns look like, and which of them know the target too well.

use frame::CheckedColumn;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use schema::{ColumnType, MISSING_LEVEL, Quantiles, Schema};
use serde::Serialize;

use crate::row_store::Rows;

/// Training rows of which the rank correlation is taken: the first ones.
const RANKED_ROWS: usize = 5_000;
/// So many distinct values are shown one by one.
const FEW_VALUES: usize = 12;
const TENTHS: usize = 10;

/// Profiles every column of the cleaned table, batch by batch.
pub(crate) struct Profile {
    target: usize,
    pub(crate) columns: Vec<ColumnProfile>,
}

/// Some rows of a block.
pub(crate) struct Batch<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) chosen: &'a [usize],
}

/// What is known of one column.
pub(crate) struct ColumnProfile {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) count: u64,
    pub(crate) missing: u64,
    pub(crate) quantiles: Quantiles,
    /// Over test rows.
    test: Moments,
    /// Over training rows, against the target.
    pub(crate) relation: Moments,
    /// The first training rows: this column and the target.
    pub(crate) ranked: Vec<(f64, f64)>,
    pub(crate) levels: FxHashMap<String, Level>,
    /// The target over training rows in which this category is present.
    pub(crate) target: Moments,
}

/// A level's rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    pub(crate) count: u64,
    pub(crate) train: u64,
    /// The sum of the target (less its first value) over training rows.
    sum: f64,
}

/// Sums for mean, variance and correlation, shifted by the first pair so that large values keep their digits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    n: f64,
    shift: (f64, f64),
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

/// The target in a group of rows that are alike in a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct TargetMean {
    /// The mean of the column.
    pub(crate) value: f64,
    /// The mean of the target.
    pub(crate) target_mean: f64,
    /// How many rows.
    pub(crate) rows: usize,
}

impl TargetMean {
    fn of(pairs: &[(f64, f64)]) -> Self {
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
        Self { value: mean(|pair| pair.0), target_mean: mean(|pair| pair.1), rows: pairs.len() }
    }
}

impl Moments {
    fn add(&mut self, x: f64, y: f64) {
        if self.n == 0.0 {
            self.shift = (x, y);
        }
        let (x, y) = (x - self.shift.0, y - self.shift.1);
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    /// What was added to this and to `other`.
    fn with(&self, other: &Self) -> Self {
        if self.n == 0.0 || other.n == 0.0 {
            return if self.n == 0.0 { other.clone() } else { self.clone() };
        }
        let (dx, dy, n) = (other.shift.0 - self.shift.0, other.shift.1 - self.shift.1, other.n);
        Self {
            n: self.n + n,
            shift: self.shift,
            x: self.x + other.x + n * dx,
            y: self.y + other.y + n * dy,
            xx: self.xx + other.xx + 2.0 * dx * other.x + n * dx * dx,
            yy: self.yy + other.yy + 2.0 * dy * other.y + n * dy * dy,
            xy: self.xy + other.xy + dx * other.y + dy * other.x + n * dx * dy,
        }
    }

    /// How many values were added.
    pub(crate) fn rows(&self) -> u64 {
        self.n as u64
    }

    /// The mean of x.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.n > 0.0).then(|| self.shift.0 + self.x / self.n)
    }

    /// The standard deviation of x, n - 1 in the denominator.
    pub(crate) fn deviation(&self) -> Option<f64> {
        (self.n > 1.0).then(|| ((self.xx - self.x * self.x / self.n) / (self.n - 1.0)).max(0.0).sqrt())
    }

    /// Pearson's correlation of x and y.
    pub(crate) fn correlation(&self) -> Option<f64> {
        let spread_x = self.xx - self.x * self.x / self.n;
        let spread_y = self.yy - self.y * self.y / self.n;
        let shared = self.xy - self.x * self.y / self.n;
        (self.n > 2.0 && spread_x > 0.0 && spread_y > 0.0).then(|| (shared / (spread_x * spread_y).sqrt()).clamp(-1.0, 1.0))
    }
}

impl Profile {
    /// Nothing seen yet.
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
            levels: FxHashMap::default(),
            target: Moments::default(),
        });
        Self { target: schema.target_index(), columns: columns.collect() }
    }

    /// Adds rows, in order.
    pub(crate) fn update(&mut self, batches: &[Batch]) {
        let target = self.target;
        self.columns.par_iter_mut().enumerate().for_each(|(place, column)| {
            for batch in batches {
                column.update(batch, place, batch.rows.numbers(target));
            }
        });
    }
}

impl ColumnProfile {
    fn update(&mut self, batch: &Batch, place: usize, target: &[f64]) {
        let Batch { rows, chosen } = batch;
        self.count += chosen.len() as u64;
        match &rows.columns[place] {
            Some(CheckedColumn::Number(values)) => self.update_numbers(chosen, values, target, &rows.test),
            Some(CheckedColumn::Category(values)) => {
                let mut levels: Vec<Level> = vec![Level::default(); values.levels.len()];
                for row in *chosen {
                    let code = values.codes[*row];
                    if code == MISSING_LEVEL {
                        self.missing += 1;
                        continue;
                    }
                    let level = &mut levels[code as usize];
                    level.count += 1;
                    if !rows.test[*row] {
                        self.target.add(target[*row], 0.0);
                        level.train += 1;
                        level.sum += target[*row] - self.target.shift.0;
                    }
                }
                for (name, seen) in values.levels.iter().zip(levels).filter(|(_, seen)| seen.count > 0) {
                    let level = self.levels.entry(name.clone()).or_default();
                    level.count += seen.count;
                    level.train += seen.train;
                    level.sum += seen.sum;
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
                if self.ranked.len() < RANKED_ROWS {
                    self.ranked.push((value, target[*row]));
                }
            }
        }
    }

    /// Over all rows, against the target.
    pub(crate) fn moments(&self) -> Moments {
        self.relation.with(&self.test)
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
    pub(crate) fn target_mean(&self, level: &Level) -> Option<f64> {
        (level.train > 0).then(|| self.target.shift.0 + level.sum / level.train as f64)
    }

    /// The mean of the target along the column: at each value where there are few, else in tenths of the first training rows.
    pub(crate) fn target_means(&self) -> Vec<TargetMean> {
        let mut pairs = self.ranked.clone();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let values: Vec<&[(f64, f64)]> = pairs.chunk_by(|a, b| a.0 == b.0).collect();
        let least = if values.len() <= FEW_VALUES { 1 } else { pairs.len().div_ceil(TENTHS) };
        let (mut groups, mut first, mut held) = (Vec::new(), 0, 0);
        for value in values {
            held += value.len();
            if held >= least || first + held == pairs.len() {
                groups.push(TargetMean::of(&pairs[first..first + held]));
                (first, held) = (first + held, 0);
            }
        }
        groups
    }

    /// The share of the target's variance that the levels explain (eta squared), over training rows.
    pub(crate) fn explained(&self) -> Option<f64> {
        let total = &self.target;
        let spread = total.xx - total.x * total.x / total.n;
        // in a fixed order, so that the sum does not depend on the map's
        let mut levels: Vec<(&String, &Level)> = self.levels.iter().filter(|(_, level)| level.train > 0).collect();
        levels.sort_by_key(|(name, _)| *name);
        let between: f64 = levels.iter().map(|(_, level)| level.sum * level.sum / level.train as f64).sum();
        (total.n > 2.0 && spread > 0.0).then(|| ((between - total.x * total.x / total.n) / spread).clamp(0.0, 1.0))
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
    fn the_target_is_averaged_at_few_values_and_in_tenths_of_many() {
        let schema = "table:\n  target: y\n  columns:\n    y: {type: float}\n    x: {type: float}\n";
        let table = schema::PipelineConfig::parse(schema).unwrap().table;
        let mut profile = Profile::new(&Schema::check(&table).unwrap());
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
    fn correlation_and_ranks_are_as_by_hand() {
        // by hand: 12 / sqrt(10 * 21.2)
        let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 7.0]);
        let mut moments = Moments::default();
        x.iter().zip(y).for_each(|(x, y)| moments.add(*x, y));
        assert!((moments.correlation().unwrap() - 12.0 / 212f64.sqrt()).abs() < 1e-12);
        assert_eq!(ranks(&[3.0, 1.0, 3.0]), [2.5, 1.0, 2.5]);
        assert!((moments.deviation().unwrap() - 2.5f64.sqrt()).abs() < 1e-12);
        let (mut first, mut second) = (Moments::default(), Moments::default());
        x[..2].iter().zip(y).for_each(|(x, y)| first.add(*x, y));
        x[2..].iter().zip(&y[2..]).for_each(|(x, y)| second.add(*x, *y));
        assert!((first.with(&second).correlation().unwrap() - moments.correlation().unwrap()).abs() < 1e-12);
    }
}
