//! Tables in files: the rows of every format have the same predictions, and the same reasons in the quarantine.

use inference::{
    loaded_model::LoadedModel,
    tables::{
        arrow::ArrowSource,
        block::{PredictedBlock, RowSink, RowSource},
        csv::CsvSource,
        header::TableOptions,
        named_writer::NamedWriter,
        ndjson::NdjsonSource,
        predict::predict_table,
    },
};
use proptest::{collection::vec, prelude::*};

use crate::{
    changed_row,
    forms::{Texts, arrow_stream, csv_text, ndjson_text, texts},
    loaded_model,
    models::{raw_row, setup},
    one_by_one,
};

/// Columns of the schema that the model does not use.
const UNUSED: [&str; 2] = ["id", "note"];

/// The bits of the prediction of each row by its number; or the column and the reason why it has none.
type Outcomes = Vec<(u64, Result<u64, (String, String)>)>;

/// A sink that keeps the predictions with their lines.
#[derive(Default)]
struct Predictions(Vec<(u64, f64)>);

impl RowSink for Predictions {
    fn write(&mut self, blocks: &[PredictedBlock]) -> anyhow::Result<()> {
        for block in blocks {
            assert_eq!(block.rows.len(), block.predictions.first().map_or(0, Vec::len));
            self.0.extend(
                block
                    .rows
                    .iter()
                    .zip(block.predictions.iter().flatten())
                    .map(|(row, value)| (block.block.line(*row), *value)),
            );
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Predicts a table; `first` is the line of its first row.
fn predict(model: &LoadedModel, source: &mut dyn RowSource, first: u64) -> Outcomes {
    let (mut sink, mut quarantine) = (Predictions::default(), Vec::new());
    let options = TableOptions::check(model, false, false).unwrap();
    let mut writer = NamedWriter::new("q", &mut quarantine);
    let counts = predict_table(model, source, &mut sink, &mut writer, options, &mut |_| ()).unwrap();
    let mut outcomes: Outcomes = sink.0.iter().map(|(line, value)| (line - first, Ok(value.to_bits()))).collect();
    assert_eq!(counts.rows as usize, outcomes.len());
    for record in csv::Reader::from_reader(quarantine.as_slice()).records() {
        let record = record.unwrap();
        let line: u64 = record[0].parse().unwrap();
        outcomes.push((line - first, Err((record[1].to_owned(), record[3].to_owned()))));
    }
    assert_eq!((counts.rows + counts.quarantined) as usize, outcomes.len());
    outcomes.sort_unstable_by_key(|(row, _)| *row);
    outcomes
}

proptest! {
    #![proptest_config(crate::property_config::property_config(300))]

    #[test]
    fn tables_have_the_same_predictions_and_reasons(
        setup in setup(),
        training in vec(raw_row(false), 3..12),
        rows in vec(changed_row(), 1..20),
        form in any::<u64>(),
    ) {
        let Some(model) = loaded_model(&setup, &training) else { return Ok(()) };
        // one line a row
        let rows: Vec<Texts> = rows
            .iter()
            .map(|row| texts(row, form).into_iter().map(|cell| cell.map(|cell| cell.replace('\n', " "))).collect())
            .collect();
        let text = csv_text(&rows, &UNUSED);
        let of_csv = predict(&model, &mut CsvSource::open("t", text.as_bytes(), 0, &model).unwrap(), 2);
        for (row, (expected, (number, found))) in one_by_one(&model, &rows).into_iter().zip(&of_csv).enumerate() {
            prop_assert_eq!(*number, row as u64);
            match (expected, found) {
                (Ok(numbers), Ok(bits)) => prop_assert_eq!(numbers[0], *bits),
                (Err(problem), Err((column, reason))) => {
                    prop_assert!(column.is_empty() || problem.starts_with(&format!("{column}: ")), "{} and {}", column, problem);
                    prop_assert!(!reason.is_empty());
                }
                (expected, found) => prop_assert!(false, "{:?} instead of {:?}", found, expected),
            }
        }
        prop_assert_eq!(of_csv.len(), rows.len());
        for is_typed in [false, true] {
            let ndjson = ndjson_text(&rows, is_typed, form);
            let found = predict(&model, &mut NdjsonSource::open("t", ndjson.as_bytes(), 0, &model).unwrap(), 1);
            prop_assert_eq!(&found, &of_csv, "{}", ndjson);
            let stream = arrow_stream(&rows, &UNUSED, is_typed, (form % 5 + 1) as usize);
            let found = predict(&model, &mut ArrowSource::open("t", stream.as_slice(), 0, &model).unwrap(), 1);
            prop_assert_eq!(&found, &of_csv);
        }
    }
}
