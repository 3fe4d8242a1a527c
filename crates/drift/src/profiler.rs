//! Learns a reference from training rows, batch by batch.

use schema::{Column, ColumnType, Table, Values};
use summary::{Frequencies, Quantiles};

use crate::reference::{ColumnReference, Distribution, NumberReference, REFERENCE_VERSION, Reference};

/// Counts the values of training rows. Batches may be counted apart and merged; order does not matter.
#[derive(Clone, Debug)]
pub struct Profiler {
    rows: u64,
    columns: Vec<Counted>,
}

#[derive(Clone, Debug)]
struct Counted {
    name: String,
    missing: u64,
    values: Count,
}

#[derive(Clone, Debug)]
enum Count {
    Numbers(Quantiles),
    Levels(Frequencies),
}

impl Profiler {
    /// A profiler of these raw columns that has seen nothing.
    pub fn new<'a>(columns: impl Iterator<Item = &'a Column>) -> Self {
        let counted = |column: &Column| Counted {
            name: column.name.clone(),
            missing: 0,
            values: match column.spec.kind {
                ColumnType::Category => Count::Levels(Frequencies::default()),
                _ => Count::Numbers(Quantiles::default()),
            },
        };
        Self { rows: 0, columns: columns.map(counted).collect() }
    }

    /// Counts those rows of a batch that are for training.
    pub fn update(&mut self, table: &Table, train: &[bool]) {
        let counted: Vec<usize> = (0..table.rows()).filter(|row| train[*row]).collect();
        self.rows += counted.len() as u64;
        for column in &mut self.columns {
            match (table.get(&column.name), &mut column.values) {
                (Some(Values::Number(values)), Count::Numbers(quantiles)) => {
                    for value in counted.iter().map(|row| values[*row]) {
                        if value.is_finite() { quantiles.add(value) } else { column.missing += 1 }
                    }
                }
                (Some(Values::Category(values)), Count::Levels(levels)) => {
                    let codes = counted.iter().map(|row| values.codes[*row]);
                    column.missing += levels.add_codes(&values.levels, codes);
                }
                _ => column.missing += counted.len() as u64,
            }
        }
    }

    /// Counts what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.missing += theirs.missing;
            match (&mut mine.values, &theirs.values) {
                (Count::Numbers(mine), Count::Numbers(theirs)) => mine.merge(theirs),
                (Count::Levels(mine), Count::Levels(theirs)) => mine.merge(theirs),
                _ => {}
            }
        }
    }

    /// What the rows looked like.
    pub fn finish(self) -> Reference {
        let rows = self.rows;
        let share = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
        let column = |column: Counted| ColumnReference {
            missing: share(column.missing, rows),
            distribution: match column.values {
                Count::Numbers(quantiles) => Distribution::Number(NumberReference::of_quantiles(&quantiles)),
                Count::Levels(levels) => {
                    let present = rows - column.missing;
                    let levels = levels.most_frequent().into_iter();
                    Distribution::Levels(levels.map(|(level, count)| (level.to_owned(), share(count, present))).collect())
                }
            },
            name: column.name,
        };
        Reference {
            format_version: REFERENCE_VERSION,
            rows,
            columns: self.columns.into_iter().map(column).collect(),
            prediction: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::{Categories, MISSING_LEVEL, PipelineConfig, Schema};

    use super::*;

    #[test]
    fn training_rows_are_counted_and_no_others() {
        let text = "table: {target: y, columns: {y: {type: float}, a: {type: float}, b: {type: category}}}\n";
        let schema = Schema::check(&PipelineConfig::parse(text).unwrap().table).unwrap();
        let mut table = Table::new(5);
        table.push("a", Values::Number(vec![1.0, 2.0, f64::NAN, 4.0, 1e9]));
        let levels = vec!["x".to_owned(), "y".to_owned(), "z".to_owned()];
        table.push("b", Values::Category(Categories { codes: vec![1, 0, 1, MISSING_LEVEL, 2], levels }));
        let train = [true, true, true, true, false];
        let mut whole = Profiler::new(schema.columns()[1..].iter());
        let mut parts = whole.clone();
        whole.update(&table, &train);
        for rows in [[3, 4].as_slice(), &[0, 1, 2]] {
            let mut part = Profiler::new(schema.columns()[1..].iter());
            part.update(&table.select_rows(rows), &rows.iter().map(|row| train[*row]).collect::<Vec<_>>());
            parts.merge(&part);
        }
        let found = whole.finish();
        assert_eq!(found, parts.finish());
        assert_eq!(found.rows, 4);
        let a = found.column("a").unwrap();
        assert_eq!((a.missing, a.number().unwrap().max), (0.25, 4.0));
        let b = found.column("b").unwrap();
        assert_eq!((b.missing, b.most_frequent()), (0.25, Some("y")));
        assert_eq!(b.distribution, Distribution::Levels(vec![("y".into(), 2.0 / 3.0), ("x".into(), 1.0 / 3.0)]));
    }
}
