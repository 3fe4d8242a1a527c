//! Fits and measures.

use std::time::Instant;

use anyhow::{Context, ensure};
use cli::Progress;
use features::Preprocessor;
use model::{
    BootstrapInterval, Conformal, CrossValidation, CurvePoint, Importance, LeakageFinding, Metrics, Parameters, Regressor,
    SplitData, TargetTransform, bootstrap_intervals, cross_validate, curve_over_rows, fit, map_imported_model, median,
    permutation_importance, recommends_log_target,
};

use crate::{config::Config, fitting::calibration::calibrated, inputs::featured_table::Dataset};

/// What a run found.
pub(crate) struct Findings {
    pub(crate) regressor: Regressor,
    pub(crate) predictions: Vec<f64>,
    /// The mean of each feature over training rows.
    pub(crate) means: Vec<f64>,
    pub(crate) interval: Option<Conformal>,
    /// What was predicted for training rows, by fits that had not seen them where there are any.
    pub(crate) train_predictions: Vec<f64>,
    /// The interval of each test row, at the configured coverage.
    pub(crate) bounds: Option<Vec<(f64, f64)>>,
    pub(crate) test: Metrics,
    pub(crate) train: Metrics,
    /// Always predicting the mean of the training target.
    pub(crate) baseline: Metrics,
    /// Always predicting its median.
    pub(crate) baseline_median: Metrics,
    /// By how much the error on test rows grows when all that is made of a raw column is shuffled, the most telling first.
    pub(crate) importances: Vec<(String, Importance)>,
    pub(crate) intervals: Vec<BootstrapInterval>,
    pub(crate) folds: Vec<Metrics>,
    pub(crate) curve: LearningCurve,
    pub(crate) fit_ms: u64,
    pub(crate) cross_validation_ms: u64,
    /// What lets the score look better than it is; in the warnings, too.
    pub(crate) suspicions: Vec<LeakageFinding>,
    pub(crate) warnings: Vec<String>,
}

/// How the error fell with what was learned from.
#[derive(Default)]
pub(crate) struct LearningCurve {
    /// [`TREES`] or [`ROWS`].
    pub(crate) over: &'static str,
    pub(crate) points: Vec<CurvePoint>,
}

/// Features with another distribution that are named.
const SHIFTED: usize = 5;

/// What a curve of an ensemble is drawn over.
pub(crate) const TREES: &str = "trees";
/// What a curve of a linear function is drawn over.
pub(crate) const ROWS: &str = "training rows";

/// Cross-validates on training rows and fits the final model side by side; then measures it, once, on the test rows.
pub(crate) fn experiment(
    config: &Config,
    data: &Dataset,
    preprocessor: &Preprocessor,
    progress: &Progress,
) -> anyhow::Result<Findings> {
    let transform = config.section.target_transform;
    let uses_log_target = config.section.uses_log_target();
    let unfit: Vec<f64> = data.train.y.iter().copied().filter(|y| uses_log_target && *y <= 0.0).collect();
    let categorical: Vec<bool> = data.features.iter().map(|feature| preprocessor.is_categorical(feature)).collect();
    let mut warnings = Vec::new();
    let parameters = match (&config.parameters, &config.import) {
        (Parameters::Imported(imported), Some(file)) => {
            let levels: Vec<_> = data.features.iter().map(|feature| preprocessor.native_levels(feature)).collect();
            let (placed, notes) = map_imported_model(imported, &data.features, &levels)
                .map_err(|message| anyhow::anyhow!("{}: {message}", file.path.display()))?;
            warnings.extend(notes);
            Parameters::Imported(Box::new(placed))
        }
        (parameters, _) => parameters
            .for_features(&data.features, &categorical)
            .map_err(|message| anyhow::anyhow!("{}: {message}", config.config_path.display()))?,
    };
    ensure!(
        unfit.is_empty(),
        "{}: model.target_transform: log needs a target above 0, and {} training rows of {} have none (the first is {}). Set min \
         for the target in table.columns, or use target_transform: none",
        config.config_path.display(),
        unfit.len(),
        config.data.display(),
        unfit[0]
    );

    let rows = data.train.y.len();
    // what was trained elsewhere cannot be trained again
    let imported = config.import.is_some();
    let mut folds = if imported { 0 } else { config.section.cross_validation.folds };
    if folds > 0 && rows < 2 * folds {
        folds = if rows >= 4 { 2 } else { 0 };
        warnings.push(format!("{rows} training rows are too few for the folds asked for; cross-validated with {folds}"));
    }
    progress.detail(format!("fitting {} to {rows} rows of {} features", config.algorithm.name(), data.features.len()));
    let bar = progress.bar("fitting", folds as u64 + 1);
    let (fitted, validated) = rayon::join(
        || {
            let started = Instant::now();
            let regressor = fit(&data.train.x, &data.train.y, &parameters, transform, config.seed)?;
            bar.advance(1);
            Ok::<_, model::FitError>((regressor, started.elapsed().as_millis() as u64))
        },
        || {
            let started = Instant::now();
            let done = || bar.advance(1);
            let scores = match folds {
                0 => Ok(CrossValidation::default()),
                folds => cross_validate(&data.train.x, &data.train.y, &parameters, transform, folds, config.seed, &done),
            };
            scores.map(|scores| (scores, started.elapsed().as_millis() as u64))
        },
    );
    let (regressor, fit_ms) = fitted.with_context(|| format!("fitting {}", config.algorithm.name()))?;
    let (validated, cross_validation_ms) = match validated {
        Ok(found) => found,
        Err(error) => {
            warnings.push(format!("not cross-validated: {error}"));
            (CrossValidation::default(), 0)
        }
    };
    let curve = match &regressor {
        Regressor::Linear(_) | Regressor::Svr(_) if !validated.folds.is_empty() => {
            let points = curve_over_rows(&data.train.x, &data.train.y, &parameters, transform, config.seed);
            LearningCurve { over: ROWS, points }
        }
        _ => LearningCurve { over: TREES, points: validated.curve },
    };

    let suspicions = suspicions(config, data);
    warnings.extend(suspicions.iter().map(|suspicion| suspicion.text.clone()));
    warnings.extend(doubts(config, data, &validated.predictions));
    let transform = parameters.remaining_transform(transform);
    let held_out = validated.predictions.clone();
    let interval = calibrated(config, data, &parameters, validated.predictions, &mut warnings);
    let means = data.train.x.columns().iter().map(|column| mean_of_known(column)).collect();
    let predict = |x| regressor.predict(x).into_iter().map(|y| transform.inverse(y)).collect::<Vec<f64>>();
    let predictions = predict(&data.test.x);
    let refitted = predict(&data.train.x);
    let mean = data.train.y.iter().sum::<f64>() / rows as f64;
    Ok(Findings {
        test: Metrics::compute(&data.test.y, &predictions),
        train: Metrics::compute(&data.train.y, &refitted),
        baseline: Metrics::compute(&data.test.y, &vec![mean; data.test.y.len()]),
        baseline_median: Metrics::compute(&data.test.y, &vec![median(&mut data.train.y.clone()); data.test.y.len()]),
        importances: importances(config, data, preprocessor, &regressor, transform),
        intervals: bootstrap_intervals(&data.test.y, &predictions, config.seed),
        bounds: interval
            .as_ref()
            .map(|interval| interval.bounds(&data.test.x, &predictions, config.section.intervals.coverage)),
        interval,
        means,
        regressor,
        train_predictions: if held_out.len() == rows { held_out } else { refitted },
        predictions,
        folds: validated.folds,
        curve,
        fit_ms,
        cross_validation_ms,
        suspicions,
        warnings,
    })
}

fn both_sides(data: &Dataset) -> SplitData<'_> {
    SplitData { features: &data.features, train: (&data.train.x, &data.train.y), test: (&data.test.x, &data.test.y) }
}

/// What lets the score look better than it is.
fn suspicions(config: &Config, data: &Dataset) -> Vec<LeakageFinding> {
    let rows = both_sides(data);
    let mut found = rows.single_feature_leaks(config.seed);
    found.extend(rows.train_test_duplicates());
    found
}

/// What else should make one doubt the score.
fn doubts(config: &Config, data: &Dataset, held_out: &[f64]) -> Vec<String> {
    let drift = both_sides(data).shifted_features();
    let more = drift.len().saturating_sub(SHIFTED);
    let mut found: Vec<String> = drift.into_iter().take(SHIFTED).collect();
    if more > 0 {
        found.push(format!("so are {more} more features"));
    }
    if !config.section.uses_log_target() && held_out.len() == data.train.y.len() {
        found.extend(recommends_log_target(&data.train.y, held_out));
    }
    found
}

/// The mean of the values that are there; 0 of none.
fn mean_of_known(column: &[f64]) -> f64 {
    let known: Vec<f64> = column.iter().copied().filter(|value| !value.is_nan()).collect();
    if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 }
}

/// A feature made of two raw columns counts for both.
fn importances(
    config: &Config,
    data: &Dataset,
    preprocessor: &Preprocessor,
    regressor: &Regressor,
    transform: TargetTransform,
) -> Vec<(String, Importance)> {
    let made_of: Vec<Vec<&str>> = data.features.iter().map(|feature| preprocessor.raw_columns(feature)).collect();
    let (names, groups): (Vec<String>, Vec<Vec<usize>>) = preprocessor
        .columns()
        .map(|column| {
            let uses = |feature: &usize| made_of[*feature].contains(&column.name.as_str());
            (column.name.clone(), (0..data.features.len()).filter(uses).collect::<Vec<_>>())
        })
        .filter(|(_, group)| !group.is_empty())
        .unzip();
    let found = permutation_importance(regressor, transform, &data.test.x, &data.test.y, &groups, config.seed);
    let mut importances: Vec<(String, Importance)> = names.into_iter().zip(found).collect();
    importances.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    importances
}
