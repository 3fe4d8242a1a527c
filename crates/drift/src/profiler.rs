//! The fit of a reference to training rows, in batches.

use schema::{Column, ColumnType, Table, Values};
use summary::{Frequencies, Quantiles};

use crate::reference::{ColumnReference, Distribution, NumberReference, REFERENCE_VERSION, Reference};

/// Counts of the values of training rows. Batches can be counted separately and merged; their order does not matter.
#[derive(Clone, Debug)]
pub struct Profiler {
    rows: u64,
    columns: Vec<ColumnCounts>,
}

#[derive(Clone, Debug)]
struct ColumnCounts {
    name: String,
    missing: u64,
    values: ValueCounts,
}

#[derive(Clone, Debug)]
enum ValueCounts {
    Numbers(Quantiles),
    Levels(Frequencies),
}

impl Profiler {
    /// A profiler of these raw columns, without rows.
    pub fn new<'a>(columns: impl Iterator<Item = &'a Column>) -> Self {
        let counts = |column: &Column| ColumnCounts {
            name: column.name.clone(),
            missing: 0,
            values: match column.spec.kind {
                ColumnType::Category => ValueCounts::Levels(Frequencies::default()),
                _ => ValueCounts::Numbers(Quantiles::default()),
            },
        };
        Self { rows: 0, columns: columns.map(counts).collect() }
    }

    /// Adds the training rows of a batch.
    pub fn update(&mut self, table: &Table, train: &[bool]) {
        let train_rows: Vec<usize> = (0..table.rows()).filter(|row| train[*row]).collect();
        self.rows += train_rows.len() as u64;
        for column in &mut self.columns {
            match (table.get(&column.name), &mut column.values) {
                (Some(Values::Number(values)), ValueCounts::Numbers(quantiles)) => {
                    for value in train_rows.iter().map(|row| values[*row]) {
                        if value.is_finite() { quantiles.add(value) } else { column.missing += 1 }
                    }
                }
                (Some(Values::Category(values)), ValueCounts::Levels(levels)) => {
                    let codes = train_rows.iter().map(|row| values.codes[*row]);
                    column.missing += levels.add_codes(&values.levels, codes);
                }
                _ => column.missing += train_rows.len() as u64,
            }
        }
    }

    /// Adds the rows of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (own, added) in self.columns.iter_mut().zip(&other.columns) {
            own.missing += added.missing;
            match (&mut own.values, &added.values) {
                (ValueCounts::Numbers(own), ValueCounts::Numbers(added)) => own.merge(added),
                (ValueCounts::Levels(own), ValueCounts::Levels(added)) => own.merge(added),
                _ => {}
            }
        }
    }

    /// The reference of the rows.
    pub fn finish(self) -> Reference {
        let rows = self.rows;
        let share = |count: u64, total: u64| if total == 0 { 0.0 } else { count as f64 / total as f64 };
        let column = |column: ColumnCounts| ColumnReference {
            missing: share(column.missing, rows),
            distribution: match column.values {
                ValueCounts::Numbers(quantiles) => Distribution::Number(NumberReference::from_quantiles(&quantiles)),
                ValueCounts::Levels(levels) => {
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
    fn only_training_rows_are_counted() {
        let text = "table: {target: y, columns: {y: {type: float}, a: {type: float}, b: {type: category}}}\n";
        let schema = Schema::from_section(&PipelineConfig::parse(text).unwrap().table).unwrap();
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
        let reference = whole.finish();
        assert_eq!(reference, parts.finish());
        assert_eq!(reference.rows, 4);
        let a = reference.column("a").unwrap();
        assert_eq!((a.missing, a.number().unwrap().max), (0.25, 4.0));
        let b = reference.column("b").unwrap();
        assert_eq!((b.missing, b.most_frequent()), (0.25, Some("y")));
        assert_eq!(b.distribution, Distribution::Levels(vec![("y".into(), 2.0 / 3.0), ("x".into(), 1.0 / 3.0)]));
    }
}
