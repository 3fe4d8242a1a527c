//! The plots of a run, for its page and as artifacts, and its tables for MLflow.

use model::CurvePoint;
use report::{Bar, Guide, Html, Points};
use serde_json::{Value, json};
use tracking::{ArtifactContent, RunFile};

use crate::{fitting::training_result::TrainingResult, inputs::featured_table::Dataset};

/// Points of a plot at most: more make it larger without a visible difference.
pub(crate) const MAX_POINTS: usize = 2000;
const HISTOGRAM_BINS: usize = 24;
const MAX_IMPORTANCES: usize = 40;
/// Rows of a table at most: MLflow loads a table completely.
const MAX_TABLE_ROWS: usize = 10_000;

/// The distance between plotted test rows: plotted rows are spread evenly over the table.
pub(crate) fn step(dataset: &Dataset) -> usize {
    dataset.test.y.len().div_ceil(MAX_POINTS).max(1)
}

fn pairs<'a>(dataset: &'a Dataset, result: &'a TrainingResult) -> impl Iterator<Item = (f64, f64)> + 'a {
    dataset.test.y.iter().copied().zip(result.test_predictions.iter().copied())
}

/// Plots predicted against actual values of test rows.
pub(crate) fn predicted_against_actual(dataset: &Dataset, result: &TrainingResult, target: &str) -> Html {
    let points: Vec<(f64, f64)> =
        pairs(dataset, result).step_by(step(dataset)).map(|(y_true, y_pred)| (y_pred, y_true)).collect();
    report::points(&Points {
        title: "Predicted against actual",
        x_label: &format!("predicted {target}"),
        y_label: &format!("actual {target}"),
        points: &points,
        guide: Guide::Diagonal,
        ..Points::default()
    })
}

/// Plots the residuals of test rows.
pub(crate) fn residuals(dataset: &Dataset, result: &TrainingResult, target: &str) -> Html {
    let points: Vec<(f64, f64)> =
        pairs(dataset, result).step_by(step(dataset)).map(|(y_true, y_pred)| (y_pred, y_true - y_pred)).collect();
    report::points(&Points {
        title: "Residuals by prediction",
        x_label: &format!("predicted {target}"),
        y_label: "residual",
        points: &points,
        guide: Guide::Zero,
        ..Points::default()
    })
}

/// A histogram of the residuals, and the number outside the plotted range.
pub(crate) fn residual_histogram(dataset: &Dataset, result: &TrainingResult) -> (Html, u64) {
    let residuals: Vec<f64> =
        pairs(dataset, result).map(|(y_true, y_pred)| y_true - y_pred).filter(|value| value.is_finite()).collect();
    let (edges, counts) = binned(&residuals);
    let outside = residuals.len() as u64 - counts.iter().sum::<u64>();
    (report::histogram("Histogram of residuals", &edges, &counts, &report::short_number), outside)
}

/// The edges of the bins and their counts. The range is symmetric and ends at the 99 % quantile of the absolute residuals: a few large
/// residuals would leave one bar.
fn binned(residuals: &[f64]) -> (Vec<f64>, Vec<u64>) {
    let mut sorted: Vec<f64> = residuals.iter().map(|value| value.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    let far = sorted.get((sorted.len().saturating_sub(1) as f64 * 0.99).round() as usize).copied().unwrap_or(0.0);
    let far = if far > 0.0 { far } else { 1.0 };
    let width = 2.0 * far / HISTOGRAM_BINS as f64;
    let mut counts = vec![0; HISTOGRAM_BINS];
    for value in residuals.iter().filter(|value| value.abs() <= far) {
        counts[(((value + far) / width) as usize).min(HISTOGRAM_BINS - 1)] += 1;
    }
    ((0..=HISTOGRAM_BINS).map(|bin| -far + width * bin as f64).collect(), counts)
}

/// Plots the permutation importance of raw columns.
pub(crate) fn importances(result: &TrainingResult) -> Html {
    let bar = |(column, importance): &(String, model::Importance)| Bar {
        label: column.clone(),
        value: importance.mean,
        text: report::amount(importance.mean),
        spread: importance.deviation,
    };
    let bars: Vec<Bar> = result.importances.iter().take(MAX_IMPORTANCES).map(bar).collect();
    report::bars("Permutation importance of raw columns", &bars)
}

/// Plots the RMSE on validation rows and on training rows; `None` without a learning curve.
pub(crate) fn learning_curves(result: &TrainingResult) -> Option<[Html; 2]> {
    if result.curve.points.is_empty() {
        return None;
    }
    let chart = |title, of: &dyn Fn(&CurvePoint) -> f64| {
        let points: Vec<(f64, f64)> = result.curve.points.iter().map(|point| (f64::from(point.step), of(point))).collect();
        report::points(&Points {
            title,
            x_label: result.curve.over,
            y_label: "RMSE",
            points: &points,
            joined: true,
            ..Points::default()
        })
    };
    Some([
        chart("Learning curve: validation rows", &|point| point.validation_rmse),
        chart("Learning curve: training rows", &|point| point.train_rmse),
    ])
}

/// The plots as SVG files and the tables as JSON files, for MLflow.
pub(crate) fn files(dataset: &Dataset, result: &TrainingResult, target: &str) -> Vec<RunFile> {
    let mut charts = vec![
        ("predicted_against_actual", predicted_against_actual(dataset, result, target)),
        ("residuals", residuals(dataset, result, target)),
        ("residual_histogram", residual_histogram(dataset, result).0),
        ("importances", importances(result)),
    ];
    if let Some([held_out, learned]) = learning_curves(result) {
        charts.push(("learning_curve_held_out", held_out));
        charts.push(("learning_curve_training", learned));
    }
    let picture = |(name, chart): (&str, Html)| {
        RunFile::of_run(format!("plots/{name}.svg"), ArtifactContent::Bytes(report::picture(&chart).into_bytes()))
    };
    let mut files: Vec<RunFile> = charts.into_iter().map(picture).collect();
    for (name, table) in [("test_rows", test_rows(dataset, result)), ("importances", importance_table(result))] {
        files.push(RunFile::of_run(format!("tables/{name}.json"), ArtifactContent::Bytes(table.to_string().into_bytes())));
    }
    files
}

/// The table of test rows, those with the largest errors first.
fn test_rows(dataset: &Dataset, result: &TrainingResult) -> Value {
    let mut rows: Vec<(u64, f64, f64)> =
        pairs(dataset, result).zip(&dataset.test_lines).map(|((y_true, y_pred), line)| (*line, y_true, y_pred)).collect();
    rows.sort_by(|a, b| (b.2 - b.1).abs().total_cmp(&(a.2 - a.1).abs()).then(a.0.cmp(&b.0)));
    let data: Vec<Value> = rows
        .into_iter()
        .take(MAX_TABLE_ROWS)
        .map(|(line, y_true, y_pred)| json!([line, y_true, y_pred, y_pred - y_true, (y_pred - y_true) / y_true.abs()]))
        .collect();
    json!({"columns": ["line", "actual", "predicted", "error", "relative error"], "data": data})
}

fn importance_table(result: &TrainingResult) -> Value {
    let data: Vec<Value> = result
        .importances
        .iter()
        .map(|(column, importance)| json!([column, importance.mean, importance.deviation]))
        .collect();
    json!({"columns": ["raw column", "increase of the mean absolute error", "standard deviation"], "data": data})
}
