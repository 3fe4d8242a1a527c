//! Fits the model on training rows and measures it, once, on test rows.

use std::time::Instant;

use anyhow::{Context, ensure};
use cli::Progress;
use features::Preprocessor;
use model::{
    CrossValidation, Importance, LeakageFinding, Metrics, Model, ModelFile, Parameters, Regressor, SplitData,
    TargetTransform, bootstrap_intervals, cross_validate, curve_over_rows, fit as fit_regressor, map_imported_model, median,
    permutation_importance, recommends_log_target,
};

use crate::{
    config::Config,
    fitting::{
        calibration::calibrate,
        training_result::{LearningCurve, TRAINING_ROWS, TREES, TrainingResult},
    },
    inputs::{featured_table::Dataset, stage_inputs::StageInputs},
};

/// Features with a shifted distribution that are named in warnings; the rest is counted.
const MAX_SHIFTED_FEATURES_NAMED: usize = 5;

/// Cross-validates on training rows and fits the final model at the same time; then measures it on the test rows. Prints the warnings.
///
/// # Errors
/// If a parameter does not suit the features, the target has no logarithm, or the model cannot be fitted.
pub(crate) fn fit(
    config: &Config,
    inputs: &StageInputs,
    dataset: &Dataset,
    progress: &Progress,
) -> anyhow::Result<TrainingResult> {
    let (parameters, mut warnings) = parameters_for(config, dataset, &inputs.preprocessor)?;
    check_targets(config, dataset)?;
    let rows = dataset.train.y.len();
    let (folds, warning) = usable_folds(config, rows);
    warnings.extend(warning);
    progress.detail(format!("fitting {} to {rows} rows of {} features", config.algorithm.name(), dataset.features.len()));
    let fitted = fit_and_cross_validate(config, dataset, &parameters, folds, progress);
    let (regressor, fit_ms) = fitted.regressor.with_context(|| format!("fitting {}", config.algorithm.name()))?;
    let (validation, cross_validation_ms) = fitted.validation.unwrap_or_else(|error| {
        warnings.push(format!("not cross-validated: {error}"));
        (CrossValidation::default(), 0)
    });
    let CrossValidation { folds: fold_metrics, curve: tree_curve, predictions: out_of_fold, .. } = validation;
    let curve = match &regressor {
        Regressor::Linear(_) | Regressor::Svr(_) if !fold_metrics.is_empty() => LearningCurve {
            over: TRAINING_ROWS,
            points: curve_over_rows(
                &dataset.train.x,
                &dataset.train.y,
                &parameters,
                config.section.target_transform,
                config.seed,
            ),
        },
        _ => LearningCurve { over: TREES, points: tree_curve },
    };
    let leakage_findings = leakage_findings(config, dataset);
    warnings.extend(leakage_findings.iter().map(|finding| finding.text.clone()));
    warnings.extend(shift_warnings(config, dataset, &out_of_fold));
    let (interval, warning) = calibrate(config, dataset, &parameters, out_of_fold.clone());
    warnings.extend(warning);
    warnings.iter().for_each(|warning| progress.warn(warning));

    let transform = parameters.remaining_transform(config.section.target_transform);
    let predict = |x| regressor.predict(x).into_iter().map(|y| transform.inverse(y)).collect::<Vec<f64>>();
    let (test_predictions, fitted_predictions) = (predict(&dataset.test.x), predict(&dataset.train.x));
    let y_true = &dataset.test.y;
    let constant = |value: f64| Metrics::compute(y_true, &vec![value; y_true.len()]);
    let interval_bounds = interval
        .as_ref()
        .map(|interval| interval.bounds(&dataset.test.x, &test_predictions, config.section.intervals.coverage));
    Ok(TrainingResult {
        test: Metrics::compute(y_true, &test_predictions),
        train: Metrics::compute(&dataset.train.y, &fitted_predictions),
        mean_baseline: constant(dataset.train.y.iter().sum::<f64>() / rows as f64),
        median_baseline: constant(median(&mut dataset.train.y.clone())),
        importances: importances(config, dataset, &inputs.preprocessor, &regressor, transform),
        metric_intervals: bootstrap_intervals(y_true, &test_predictions, config.seed),
        interval_bounds,
        model: Model::from_file(ModelFile {
            name: config.section.name.clone(),
            algorithm: config.algorithm.name().into(),
            target: inputs.target().to_owned(),
            target_transform: config.parameters.remaining_transform(config.section.target_transform),
            features: dataset.features.clone(),
            preprocessor: inputs.preprocessor_file.digest.hex().to_owned(),
            schema: inputs.schema(),
            seed: config.seed,
            train_rows: rows as u64,
            regressor,
            means: dataset.train.x.columns().iter().map(|column| mean_of_known(column)).collect(),
            interval,
        })?,
        train_predictions: if out_of_fold.len() == rows { out_of_fold } else { fitted_predictions },
        test_predictions,
        folds: fold_metrics,
        curve,
        fit_ms,
        cross_validation_ms,
        leakage_findings,
        warnings,
    })
}

/// The parameters as they apply to the features of this table, and warnings about an imported model.
fn parameters_for(
    config: &Config,
    dataset: &Dataset,
    preprocessor: &Preprocessor,
) -> anyhow::Result<(Parameters, Vec<String>)> {
    if let (Parameters::Imported(imported), Some(file)) = (&config.parameters, &config.import) {
        let levels: Vec<_> = dataset.features.iter().map(|feature| preprocessor.native_levels(feature)).collect();
        let (placed, notes) = map_imported_model(imported, &dataset.features, &levels)
            .map_err(|message| anyhow::anyhow!("{}: {message}", file.path.display()))?;
        return Ok((Parameters::Imported(Box::new(placed)), notes));
    }
    let categorical: Vec<bool> = dataset.features.iter().map(|feature| preprocessor.is_categorical(feature)).collect();
    let parameters = config.parameters.for_features(&dataset.features, &categorical);
    let parameters = parameters.map_err(|message| anyhow::anyhow!("{}: {message}", config.config_path.display()))?;
    Ok((parameters, Vec::new()))
}

/// Checks that every training target has a logarithm, where the configuration asks for it.
fn check_targets(config: &Config, dataset: &Dataset) -> anyhow::Result<()> {
    let uses_log_target = config.section.uses_log_target();
    let invalid: Vec<f64> = dataset.train.y.iter().copied().filter(|y| uses_log_target && *y <= 0.0).collect();
    ensure!(
        invalid.is_empty(),
        "{}: model.target_transform: log needs a target above 0, and {} training rows of {} have none (the first is {}). Set min \
         for the target in table.columns, or use target_transform: none",
        config.config_path.display(),
        invalid.len(),
        config.data.display(),
        invalid[0]
    );
    Ok(())
}

/// The number of folds that the rows suffice for, and a warning if it is not the configured one.
fn usable_folds(config: &Config, rows: usize) -> (usize, Option<String>) {
    // a model that was trained elsewhere cannot be fitted again
    let configured = if config.import.is_some() { 0 } else { config.section.cross_validation.folds };
    if configured == 0 || rows >= 2 * configured {
        return (configured, None);
    }
    let folds = if rows >= 4 { 2 } else { 0 };
    let warning = format!("{rows} training rows are too few for the configured folds; cross-validated with {folds}");
    (folds, Some(warning))
}

/// A fit and a cross-validation with their durations in milliseconds.
struct Fits {
    regressor: Result<(Regressor, u64), model::FitError>,
    validation: Result<(CrossValidation, u64), model::FitError>,
}

fn fit_and_cross_validate(
    config: &Config,
    dataset: &Dataset,
    parameters: &Parameters,
    folds: usize,
    progress: &Progress,
) -> Fits {
    let (x, y, transform) = (&dataset.train.x, &dataset.train.y, config.section.target_transform);
    let bar = progress.bar("fitting", folds as u64 + 1);
    let (regressor, validation) = rayon::join(
        || {
            let started = Instant::now();
            let regressor = fit_regressor(x, y, parameters, transform, config.seed)?;
            bar.advance(1);
            Ok((regressor, started.elapsed().as_millis() as u64))
        },
        || {
            let started = Instant::now();
            let on_fold = || bar.advance(1);
            let validation = match folds {
                0 => Ok(CrossValidation::default()),
                folds => cross_validate(x, y, parameters, transform, folds, config.seed, &on_fold),
            };
            validation.map(|validation| (validation, started.elapsed().as_millis() as u64))
        },
    );
    Fits { regressor, validation }
}

fn split_data(dataset: &Dataset) -> SplitData<'_> {
    SplitData {
        features: &dataset.features,
        train: (&dataset.train.x, &dataset.train.y),
        test: (&dataset.test.x, &dataset.test.y),
    }
}

/// Features that predict the target almost alone, and test rows that repeat training rows.
fn leakage_findings(config: &Config, dataset: &Dataset) -> Vec<LeakageFinding> {
    let rows = split_data(dataset);
    let mut findings = rows.single_feature_leaks(config.seed);
    findings.extend(rows.train_test_duplicates());
    findings
}

/// Warnings about features whose distribution differs between the splits, and about a target that a logarithm would suit.
fn shift_warnings(config: &Config, dataset: &Dataset, out_of_fold: &[f64]) -> Vec<String> {
    let drift = split_data(dataset).shifted_features();
    let unnamed = drift.len().saturating_sub(MAX_SHIFTED_FEATURES_NAMED);
    let mut warnings: Vec<String> = drift.into_iter().take(MAX_SHIFTED_FEATURES_NAMED).collect();
    if unnamed > 0 {
        warnings.push(format!("so are {unnamed} more features"));
    }
    if !config.section.uses_log_target() && out_of_fold.len() == dataset.train.y.len() {
        warnings.extend(recommends_log_target(&dataset.train.y, out_of_fold));
    }
    warnings
}

/// The mean of the values that are not missing; 0 if all are.
fn mean_of_known(column: &[f64]) -> f64 {
    let known: Vec<f64> = column.iter().copied().filter(|value| !value.is_nan()).collect();
    if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
}

/// Permutation importance of raw columns, on test rows. A feature that is computed from two raw columns counts for both.
fn importances(
    config: &Config,
    dataset: &Dataset,
    preprocessor: &Preprocessor,
    regressor: &Regressor,
    transform: TargetTransform,
) -> Vec<(String, Importance)> {
    let sources: Vec<Vec<&str>> = dataset.features.iter().map(|feature| preprocessor.raw_columns(feature)).collect();
    let (names, groups): (Vec<String>, Vec<Vec<usize>>) = preprocessor
        .columns()
        .map(|column| {
            let uses = |feature: &usize| sources[*feature].contains(&column.name.as_str());
            (column.name.clone(), (0..dataset.features.len()).filter(uses).collect::<Vec<_>>())
        })
        .filter(|(_, group)| !group.is_empty())
        .unzip();
    let values = permutation_importance(regressor, transform, &dataset.test.x, &dataset.test.y, &groups, config.seed);
    let mut importances: Vec<(String, Importance)> = names.into_iter().zip(values).collect();
    importances.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    importances
}
