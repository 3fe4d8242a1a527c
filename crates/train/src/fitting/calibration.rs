//! Calibrates prediction intervals with the residuals of cross-validation.

use model::{Conformal, ModelSection, Parameters, TargetTransform, cross_validate, format_metric};

use crate::{config::Config, inputs::featured_table::Dataset};

/// Below this number of training rows, residuals come from more folds: a fit to four fifths of few rows is worse than the final one.
const MIN_ROWS_FOR_CONFIGURED_FOLDS: usize = 200;
const FOLDS_OF_SMALL_TABLES: usize = 20;

/// Prediction intervals from the out-of-fold predictions of the training rows, in the target's unit, and a warning. Without
/// cross-validation there are no intervals.
pub(crate) fn calibrate(
    config: &Config,
    dataset: &Dataset,
    parameters: &Parameters,
    out_of_fold: Vec<f64>,
) -> (Option<Conformal>, Option<String>) {
    let (x, y, coverage) = (&dataset.train.x, &dataset.train.y, config.section.intervals.coverage);
    let rows = y.len();
    if config.import.is_some() {
        let warning = "no intervals: they are calibrated by cross-validation, for which an imported model cannot be fitted";
        return (None, Some(warning.into()));
    }
    if config.section.cross_validation.folds == 0 {
        return (None, None);
    }
    let mut predictions = out_of_fold;
    if rows < MIN_ROWS_FOR_CONFIGURED_FOLDS && !predictions.is_empty() {
        let folds = rows.min(FOLDS_OF_SMALL_TABLES);
        let scores = cross_validate(x, y, parameters, config.section.target_transform, folds, config.seed, &|| ());
        predictions = scores.map_or(predictions, |scores| scores.predictions);
    }
    let scale = residual_scale(&config.section, y, &predictions);
    let interval = Conformal::fit(x, y, &predictions, scale, config.seed);
    let warning = match &interval {
        None => Some("no intervals: there are no out-of-fold predictions to calibrate them with".to_owned()),
        Some(interval) if !interval.has_enough_residuals(coverage) => Some(format!(
            "{rows} training rows are too few for intervals with a coverage of {}: they end at the largest residual",
            format_metric("mape", coverage)
        )),
        Some(_) => None,
    };
    (interval, warning)
}

/// The transform of target and prediction before residuals are computed: the logarithm where the model, or every part of it, uses it.
fn residual_scale(section: &ModelSection, y: &[f64], predictions: &[f64]) -> TargetTransform {
    let is_log = |transform: TargetTransform| transform == TargetTransform::Log;
    let parts = section.blend.iter().map(|part| part.target_transform);
    let all_log = is_log(section.target_transform) || (!section.blend.is_empty() && parts.into_iter().all(is_log));
    let positive = y.iter().chain(predictions).all(|value| *value > 0.0);
    if all_log && positive { TargetTransform::Log } else { TargetTransform::None }
}
