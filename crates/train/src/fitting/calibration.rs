//! Learns intervals from rows that were held out.

use model::{Conformal, ModelSection, Parameters, TargetTransform, cross_validate, format_metric};

use crate::{config::Config, inputs::featured_table::Dataset};

/// With fewer training rows than this, intervals are taken from more folds.
const FEW_ROWS: usize = 200;
const FOLDS_OF_FEW_ROWS: usize = 20;

/// Intervals from what was predicted for training rows by fits that had not seen them; `None`, with a warning, where there is nothing of
/// the kind.
pub(crate) fn calibrated(
    config: &Config,
    data: &Dataset,
    parameters: &Parameters,
    mut held_out: Vec<f64>,
    warnings: &mut Vec<String>,
) -> Option<Conformal> {
    let (x, y, coverage) = (&data.train.x, &data.train.y, config.section.intervals.coverage);
    let rows = y.len();
    if config.import.is_some() {
        warnings.push(
            "no intervals: they are learned from cross-validation, for which an imported model cannot be fitted".into(),
        );
        return None;
    }
    if config.section.cross_validation.folds == 0 {
        return None;
    }
    if rows < FEW_ROWS && !held_out.is_empty() {
        // on few rows a fit to four fifths of them is a worse one: intervals are taken from fits to almost all
        let folds = rows.min(FOLDS_OF_FEW_ROWS);
        let scores = cross_validate(x, y, parameters, config.section.target_transform, folds, config.seed, &|| ());
        held_out = scores.map_or(held_out, |scores| scores.predictions);
    }
    let scale = scale(&config.section, y, &held_out);
    let found = Conformal::fit(x, y, &held_out, scale, config.seed);
    match &found {
        None => warnings.push("no intervals: nothing was predicted for rows that were held out".into()),
        Some(found) if !found.has_enough_residuals(coverage) => warnings.push(format!(
            "{rows} training rows are too few for intervals that hold {}: they end at the farthest residual",
            format_metric("mape", coverage)
        )),
        Some(_) => {}
    }
    found
}

/// What is done to target and prediction before residuals are taken for intervals: the logarithm where the model, or every part of it,
/// works on it.
fn scale(section: &ModelSection, y: &[f64], predictions: &[f64]) -> TargetTransform {
    let log = |transform: TargetTransform| transform == TargetTransform::Log;
    let parts = section.blend.iter().map(|part| part.target_transform);
    let all = log(section.target_transform) || (!section.blend.is_empty() && parts.into_iter().all(log));
    let positive = y.iter().chain(predictions).all(|value| *value > 0.0);
    if all && positive { TargetTransform::Log } else { TargetTransform::None }
}
