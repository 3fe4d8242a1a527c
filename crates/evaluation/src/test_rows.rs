//! Test rows of a cleaned table, with predictions.

use std::path::Path;

use anyhow::{Context, ensure};
use cli::Progress;
use model::Metrics;
use predictor::Predictor;
use schema::{Schema, Table, UnknownCategory};

/// A test row with its prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestRow {
    /// The target.
    pub y_true: f64,
    /// The prediction; `None` if the row has a level that the model does not know and rejects.
    pub y_pred: Option<f64>,
}

/// Calls `take` with the test rows (raw columns and targets) of the cleaned table at `data`, in order and in blocks. `prepare` converts
/// blocks in several threads; `activity` is the text of the progress bar. Returns the number of test rows.
///
/// # Errors
/// If the table lacks a column, cannot be read or has no test row, or `prepare` or `take` fails.
pub fn for_each_test_block<T: Send>(
    data: &Path,
    schema: &Schema,
    progress: &Progress,
    activity: &'static str,
    prepare: impl Fn(Table, Vec<f64>) -> anyhow::Result<T> + Sync,
    mut take: impl FnMut(T) -> anyhow::Result<()> + Send,
) -> anyhow::Result<usize> {
    let mut source = table_io::open_cleaned(data, schema)?;
    let bar = progress.bar(activity, source.expected_blocks());
    let mut test_rows = 0;
    source.for_each_block(
        |block| {
            let cleaned = block.cleaned(schema)?;
            let test: Vec<usize> = (0..cleaned.train.len()).filter(|row| !cleaned.train[*row]).collect();
            let targets = test.iter().map(|row| cleaned.target[*row]).collect();
            Ok::<_, anyhow::Error>((test.len(), prepare(cleaned.table.select_rows(&test), targets)?))
        },
        |blocks| {
            bar.advance(blocks.len() as u64);
            for (rows, prepared) in blocks {
                test_rows += rows;
                take(prepared)?;
            }
            Ok(())
        },
    )?;
    ensure!(test_rows > 0, "{}: has no test row (split = {})", data.display(), schema::TEST);
    Ok(test_rows)
}

/// Predictions for the test rows of the cleaned table at `data`, in order.
///
/// # Errors
/// If the table lacks a column that the model needs, cannot be read, or has no test row.
pub fn predict_test_rows(predictor: &Predictor, data: &Path, progress: &Progress) -> anyhow::Result<Vec<TestRow>> {
    let preprocessor = predictor.preprocessor();
    let rejects_unknown = preprocessor.file().unknown == UnknownCategory::Reject;
    let mut rows = Vec::new();
    for_each_test_block(
        data,
        preprocessor.schema(),
        progress,
        "predicting",
        |table, targets| {
            let mut known = vec![true; table.rows()];
            if rejects_unknown {
                preprocessor.unknown_levels(&table).iter().for_each(|unknown| known[unknown.row] = false);
            }
            let kept: Vec<usize> = (0..table.rows()).filter(|row| known[*row]).collect();
            let predictions = predictor.predict(&table.select_rows(&kept)).context("an unknown level was not detected")?;
            let mut predictions = predictions.into_iter();
            let row =
                |(y_true, known): (f64, bool)| TestRow { y_true, y_pred: if known { predictions.next() } else { None } };
            Ok(targets.into_iter().zip(known).map(row).collect::<Vec<TestRow>>())
        },
        |block| {
            rows.extend(block);
            Ok(())
        },
    )?;
    Ok(rows)
}

/// The metrics of a model on the rows that it predicts.
pub fn test_metrics(rows: &[TestRow]) -> Metrics {
    let (y_true, y_pred): (Vec<f64>, Vec<f64>) = rows.iter().filter_map(|row| Some((row.y_true, row.y_pred?))).unzip();
    Metrics::compute(&y_true, &y_pred)
}
