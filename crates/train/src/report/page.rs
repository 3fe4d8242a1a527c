//! The page `models/trained/report.html`: metrics, plots and tables of the run.

use artifact::{FileEntry, RunRecord};
use features::Preprocessor;
use model::{METRIC_NAMES, Regressor, format_metric, mean_and_deviation, metric_label};
use report::{Bar, Html, HtmlTable, Page};

use crate::{
    fitting::{
        interval_coverage,
        training_result::{TREES, TrainingResult},
    },
    inputs::{featured_table::Dataset, lineage::InputLineage, stage_inputs::StageInputs},
    report::plots,
};

const MAX_WORST_ROWS: usize = 10;
const MAX_COEFFICIENTS: usize = 100;

/// The page as HTML. `record` has no artifacts and no times yet, so that the same run gives the same page.
pub(crate) fn render(record: &RunRecord, dataset: &Dataset, result: &TrainingResult, inputs: &StageInputs) -> String {
    let (target, preprocessor) = (inputs.target(), &inputs.preprocessor);
    let algorithm = record.parameters.get("algorithm").and_then(|value| value.as_str()).unwrap_or_default();
    let mut page = Page::new(
        &format!("{}: how well {target} is predicted", record.name),
        &format!(
            "{algorithm} on {} rows and {} features, measured once on {} test rows that no fit has seen.",
            report::count(dataset.train.y.len() as u64),
            dataset.features.len(),
            report::count(dataset.test.y.len() as u64)
        ),
    );
    page.section("Metrics", &scores(record, target));
    if !result.folds.is_empty() {
        page.section("Folds", &folds(result));
    }
    if !result.curve.points.is_empty() {
        page.section("Learning curve", &learning_curve(result));
    }
    page.section("Predictions", &predictions(dataset, result, target));
    if result.interval_bounds.is_some() {
        page.section("Intervals", &intervals(record, dataset, result, target));
    }
    page.section("Feature importance", &importance(record, dataset, result, preprocessor, target));
    page.section("Largest errors", &largest_errors(dataset, result, preprocessor, target));
    page.section("Parameters", &[parameters(record)]);
    page.section("Lineage", &[lineage_table(dataset, &inputs.lineage)]);
    page.render()
}

/// The full name of a metric.
fn full_name(key: &str) -> &'static str {
    match key {
        "mae" => "mean absolute error",
        "mape" => "mean absolute percentage error",
        "median_ae" => "median absolute error",
        other => metric_label(other),
    }
}

fn scores(record: &RunRecord, target: &str) -> Vec<Html> {
    let between = |key: &str| {
        let interval = record.intervals.get(key)?;
        Some(format!("{} to {}", format_value(key, interval.low), format_value(key, interval.high)))
    };
    let interval = |key: &str| between(key).map_or(String::new(), |between| format!("95 % interval {between}"));
    let tiles: Vec<(String, &str, String)> = ["r2", "mae", "mape", "median_ae"]
        .into_iter()
        .filter_map(|key| Some((format_value(key, record.metric(key)?), full_name(key), interval(key))))
        .collect();
    let mut table = HtmlTable::new([
        "metric",
        "#test rows",
        "#95 % interval",
        "#cross-validated",
        "#training rows",
        "#mean baseline",
        "#median baseline",
    ]);
    for key in METRIC_NAMES {
        let of = |prefix: &str| -> Html {
            record.metric(&format!("{prefix}{key}")).map_or("–".to_owned(), |value| format_value(key, value)).into()
        };
        table.row([
            metric_label(key).into(),
            of(""),
            between(key).unwrap_or("–".into()).into(),
            of("cv_"),
            of("train_"),
            of("baseline_"),
            of("baseline_median_"),
        ]);
    }
    let mut bars = Vec::new();
    for (name, key) in [("this model", "mae"), ("mean baseline", "baseline_mae"), ("median baseline", "baseline_median_mae")]
    {
        if let Some(value) = record.metric(key) {
            let spread = record.intervals.get(key).map_or(0.0, |interval| (interval.high - interval.low) / 2.0);
            bars.push(Bar { label: name.into(), value, text: format_value("mae", value), spread });
        }
    }
    let mut content = vec![
        report::tiles(&tiles),
        Html::from("Mean absolute error and two baselines").heading(),
        report::bars("Mean absolute error of the model and of two baselines", &bars),
        table.html(),
        Html::prose(&format!(
            "Errors are in the unit of {target}. Intervals are bootstrap percentiles over test rows. The baselines predict the mean \
             or the median of the training rows."
        ))
        .small()
        .paragraph(),
    ];
    content.extend(record.warnings.iter().map(|warning| report::note(&Html::text(warning))));
    content
}

fn folds(result: &TrainingResult) -> Vec<Html> {
    let mut table = HtmlTable::new(["fold", "#MAE", "#RMSE", "#R²", "#MAPE", "#median error"]);
    for (fold, metrics) in result.folds.iter().enumerate() {
        let values = metrics.named().map(|(key, value)| Html::from(format_value(key, value)));
        table.row(std::iter::once((fold + 1).to_string().into()).chain(values));
    }
    let bars: Vec<Bar> = result
        .folds
        .iter()
        .enumerate()
        .map(|(fold, metrics)| Bar {
            label: format!("fold {}", fold + 1),
            value: metrics.mae,
            text: format_value("mae", metrics.mae),
            spread: 0.0,
        })
        .collect();
    vec![
        Html::from("Each fold of the training rows is predicted by a model fitted on the others.").paragraph(),
        report::side_by_side(&[report::bars("Mean absolute error in each fold", &bars), table.html()]),
    ]
}

fn learning_curve(result: &TrainingResult) -> Vec<Html> {
    let Some([held_out, learned]) = plots::learning_curves(result) else { return Vec::new() };
    let text = if result.curve.over == TREES {
        "The root mean squared error after so many trees, the mean over the folds: where the first curve rises again, there are too \
         many."
    } else {
        "The root mean squared error of a fit to so many rows, measured on a fifth of the training rows that is set aside as validation rows: where both \
         curves have met, more rows help little."
    };
    vec![
        Html::prose(text).paragraph(),
        report::side_by_side(&[
            Html::join([&Html::from("Validation rows").heading(), &held_out]),
            Html::join([&Html::from("Training rows").heading(), &learned]),
        ]),
    ]
}

fn predictions(dataset: &Dataset, result: &TrainingResult, target: &str) -> Vec<Html> {
    let (rows, step) = (dataset.test.y.len(), plots::step(dataset));
    let mut content = vec![report::side_by_side(&[
        Html::join([
            &Html::from("Predicted against actual").heading(),
            &plots::predicted_against_actual(dataset, result, target),
        ]),
        Html::join([&Html::from("Residuals: actual − predicted").heading(), &plots::residuals(dataset, result, target)]),
    ])];
    if step > 1 {
        let shown = format!("The plots show every {step}th of {} test rows.", report::count(rows as u64));
        content.push(Html::text(&shown).small().paragraph());
    }
    let (histogram, outside) = plots::residual_histogram(dataset, result);
    content.push(Html::from("Distribution of residuals").heading());
    content.push(histogram);
    if outside > 0 {
        let left_out =
            format!("{} residuals are outside the plotted range: see the largest errors.", report::count(outside));
        content.push(Html::text(&left_out).small().paragraph());
    }
    content
}

fn intervals(record: &RunRecord, dataset: &Dataset, result: &TrainingResult, target: &str) -> Vec<Html> {
    let Some(all) = interval_coverage::overall(dataset, result) else { return Vec::new() };
    let configured =
        record.parameters.get("interval_coverage_asked").and_then(serde_json::Value::as_f64).unwrap_or_default();
    let tiles = [
        (report::percent(all.share), "coverage on test rows", format!("configured: {}", report::percent(configured))),
        (report::amount(all.width), "median width", format!("in the unit of {target}")),
    ];
    let parts = interval_coverage::by_prediction(dataset, result);
    let range = |part: &interval_coverage::Coverage| format!("{} to {}", report::amount(part.from), report::amount(part.to));
    let bars: Vec<Bar> = parts
        .iter()
        .map(|part| Bar { label: range(part), value: part.share, text: report::percent(part.share), spread: 0.0 })
        .collect();
    let mut table = HtmlTable::new(["predicted", "#test rows", "#coverage", "#median width"]);
    for part in &parts {
        table.row([
            range(part).into(),
            report::count(part.rows as u64).into(),
            report::percent(part.share).into(),
            report::amount(part.width).into(),
        ]);
    }
    vec![
        Html::prose(
            "Conformal prediction intervals, calibrated with the residuals of cross-validation and wider where similar rows have \
             larger errors. The coverage is measured on all test rows and by the size of the prediction.",
        )
        .paragraph(),
        report::tiles(&tiles),
        report::side_by_side(&[report::bars("Coverage by prediction", &bars), table.html()]),
    ]
}

fn importance(
    record: &RunRecord,
    dataset: &Dataset,
    result: &TrainingResult,
    preprocessor: &Preprocessor,
    target: &str,
) -> Vec<Html> {
    let mut content = vec![
        Html::from("Permutation importance of raw columns").heading(),
        plots::importances(result),
        Html::prose(&format!(
            "The increase of the mean absolute error of {target} when a raw column, with every feature computed from it, is shuffled \
             among test rows (at most a thousand, evenly from the table). Whiskers show the standard deviation of five shuffles. A \
             derived feature counts for each column that it reads."
        ))
        .small()
        .paragraph(),
    ];
    if let Regressor::Linear(linear) = &result.model.file().regressor {
        let features = dataset.features.iter().zip(&linear.coefficients).zip(dataset.train.x.columns());
        let mut rows: Vec<(&String, f64, f64)> = features
            .map(|((name, coefficient), values)| (name, *coefficient, coefficient * mean_and_deviation(values).1))
            .collect();
        rows.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        let mut table = HtmlTable::new(["feature", "raw columns", "#coefficient", "#effect of one standard deviation"]);
        for (name, coefficient, effect) in rows.iter().take(MAX_COEFFICIENTS) {
            let raw = preprocessor.raw_columns(name).join(", ");
            table.row([
                name.as_str().into(),
                raw.into(),
                report::amount(*coefficient).into(),
                report::amount(*effect).into(),
            ]);
        }
        content.push(Html::from("Coefficients").heading());
        content.push(table.html());
        let unit = match record.parameters.get("target_transform").and_then(|value| value.as_str()) {
            Some("log") => format!(" The values refer to the logarithm of {target}: an increase of 0.1 is about 10 %."),
            _ => String::new(),
        };
        let intercept = report::amount(linear.intercept);
        content.push(Html::prose(&format!("The intercept is {intercept}.{unit}")).small().paragraph());
    }
    content
}

fn largest_errors(dataset: &Dataset, result: &TrainingResult, preprocessor: &Preprocessor, target: &str) -> Vec<Html> {
    let error = |row: usize| result.test_predictions[row] - dataset.test.y[row];
    let mut order: Vec<usize> = (0..dataset.test.y.len()).collect();
    order.sort_by(|a, b| error(*b).abs().total_cmp(&error(*a).abs()).then(a.cmp(b)));
    let actual = format!("#actual {target}");
    let mut table = HtmlTable::new(["#line", &actual, "#predicted", "#error", "#error in %", "features"]);
    for row in order.into_iter().take(MAX_WORST_ROWS) {
        let (y_true, y_pred) = (dataset.test.y[row], result.test_predictions[row]);
        let features: Vec<String> = dataset
            .features
            .iter()
            .zip(dataset.test.x.columns())
            .filter_map(|(name, values)| match (preprocessor.is_indicator(name), values[row]) {
                (true, value) => (value != 0.0).then(|| name.clone()),
                (false, value) => Some(format!("{name} {}", report::number(value))),
            })
            .take(12)
            .collect();
        table.row([
            dataset.test_lines[row].to_string().into(),
            report::amount(y_true).into(),
            report::amount(y_pred).into(),
            report::amount(y_pred - y_true).into(),
            report::percent((y_pred - y_true) / y_true.abs()).into(),
            features.join(", ").into(),
        ]);
    }
    let what = "The test rows with the largest errors, by their line in the featured table.";
    vec![Html::from(what).paragraph(), table.html()]
}

fn parameters(record: &RunRecord) -> Html {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs: Vec<(&str, Html)> =
        record.parameters.iter().map(|(name, value)| (name.as_str(), Html::text(&text(value)).code())).collect();
    report::pairs(&pairs)
}

fn lineage_table(dataset: &Dataset, lineage: &InputLineage) -> Html {
    let names = |files: &[FileEntry]| {
        let name = |file: &FileEntry| {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            format!("{name} ({})", &file.digest.hex()[..12.min(file.digest.hex().len())])
        };
        files.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let mut table = HtmlTable::new(["stage", "read", "wrote", "rows"]);
    for manifest in lineage.manifests() {
        let rows: Vec<String> = manifest
            .rows
            .iter()
            .map(|(name, rows)| format!("{} {}", report::count(*rows), name.replace('_', " ")))
            .collect();
        table.row([
            format!("{} {}", manifest.stage, manifest.version).into(),
            names(&manifest.inputs).into(),
            names(&manifest.outputs).into(),
            rows.join(", ").into(),
        ]);
    }
    table.row([
        format!("train {}", env!("CARGO_PKG_VERSION")).into(),
        names(lineage.engineer.outputs.as_slice()).into(),
        "model.bin, metrics.json, predictions.csv, report.html".into(),
        format!(
            "{} training rows, {} test rows",
            report::count(dataset.train.y.len() as u64),
            report::count(dataset.test.y.len() as u64)
        )
        .into(),
    ]);
    table.html()
}

/// The value of a metric, with thousands separators.
fn format_value(key: &str, value: f64) -> String {
    match key {
        "r2" => report::digits(value, 4),
        "mape" => format_metric(key, value),
        _ => report::amount(value),
    }
}
