//! Selects the best trials, and renders their configuration.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use model::{BlendGain, Trial, fit, greedy_weights, out_of_fold_blend, permutation_importance};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::search::{
    objective::{Evaluation, LAST_RUNG, Objective},
    successive_halving::TrialResult,
};

/// Candidates of a blend: the best trials, and the best of each algorithm and target transform, because similar models add little.
const FINALISTS: usize = 4;
const FINALISTS_PER_ALGORITHM: usize = 2;
/// Parts of a blend with a smaller weight are omitted.
const MIN_BLEND_WEIGHT: f64 = 0.04;
/// Each step of the elimination omits one of this number of features.
const ELIMINATION_DIVISOR: usize = 6;
const MIN_FEATURES: usize = 2;
const UNLIMITED: Duration = Duration::from_hours(24);

/// The selected model.
pub(crate) struct Selection {
    /// Trials and weights, the largest weight first: one trial, or a blend.
    pub(crate) parts: Vec<(Trial, f64)>,
    /// The features, if some are omitted.
    pub(crate) features: Option<Vec<String>>,
    /// The metric on validation rows; for a blend, with weights that were chosen on other rows.
    pub(crate) score: f64,
    /// By how much the blend is better than its best part.
    pub(crate) blend_gain: Option<BlendGain>,
    /// The steps of the elimination: number of features and metric.
    pub(crate) eliminated: Vec<(usize, f64)>,
}

/// Selects among the results, of which the best is the first.
pub(crate) fn select(
    objective: &mut Objective,
    results: &[TrialResult],
    eliminate: bool,
    blend: bool,
) -> anyhow::Result<Selection> {
    let finalists: Vec<(Trial, Evaluation)> =
        finalists_among(results, blend).map(|result| (result.trial.clone(), result.evaluation.clone())).collect();
    // trials of earlier runs have no predictions, and are evaluated again
    let evaluator = &*objective;
    let evaluate_again = |(trial, evaluation): (Trial, Evaluation)| {
        if evaluation.out_of_fold.is_empty() {
            evaluator.evaluate(&trial, LAST_RUNG, None).ok().map(|evaluation| (trial, evaluation))
        } else {
            Some((trial, evaluation))
        }
    };
    let mut finalists: Vec<(Trial, Evaluation)> = finalists.into_par_iter().filter_map(evaluate_again).collect();
    finalists.sort_by(|a, b| a.1.score.total_cmp(&b.1.score).then(a.0.number.cmp(&b.0.number)));
    if finalists.is_empty() {
        // the best known trial, without a time limit
        let deadline = std::mem::replace(&mut objective.deadline, Instant::now() + UNLIMITED);
        let best = results
            .first()
            .and_then(|result| Some((result.trial.clone(), objective.evaluate(&result.trial, LAST_RUNG, None).ok()?)));
        objective.deadline = deadline;
        finalists.extend(best);
    }
    let objective = &*objective;
    anyhow::ensure!(!finalists.is_empty(), "no trial was evaluated on all rows: allow more minutes");

    let mut eliminated = Vec::new();
    let mut features = None;
    if eliminate && objective.features.len() > MIN_FEATURES {
        let (trial, best) = &finalists[0];
        let kept = eliminate_features(objective, trial, best, &mut eliminated);
        if let Some(kept) = kept {
            // all trials use the same features
            let refitted: Vec<(Trial, Evaluation)> = finalists
                .par_iter()
                .filter_map(|(trial, _)| Some((trial.clone(), objective.evaluate(trial, LAST_RUNG, Some(&kept)).ok()?)))
                .collect();
            if !refitted.is_empty() {
                finalists = refitted;
                finalists.sort_by(|a, b| a.1.score.total_cmp(&b.1.score).then(a.0.number.cmp(&b.0.number)));
                features = Some(kept.iter().map(|index| objective.features[*index].clone()).collect());
            }
        }
    }

    let (best, evaluation) = finalists[0].clone();
    let mut selection =
        Selection { parts: vec![(best, 1.0)], features, score: evaluation.score, blend_gain: None, eliminated };
    if blend && finalists.len() > 1 {
        let targets = objective.targets();
        let predictions: Vec<Vec<f64>> = finalists.iter().map(|(_, evaluation)| evaluation.out_of_fold.clone()).collect();
        let blended = out_of_fold_blend(&targets, &predictions, objective.repetitions(), objective.seed);
        let gain = objective.gain(&predictions[0], &blended);
        selection.blend_gain = Some(gain);
        if gain.is_significant() {
            let rows: Vec<usize> = (0..targets.len()).collect();
            let weights = greedy_weights(&targets, &predictions, &rows);
            let is_kept = |weight: &f64| *weight >= MIN_BLEND_WEIGHT;
            let total: f64 = weights.iter().filter(|weight| is_kept(weight)).sum();
            let mut parts: Vec<(Trial, f64)> = finalists
                .iter()
                .zip(&weights)
                .filter(|(_, weight)| is_kept(weight))
                .map(|((trial, _), weight)| (trial.clone(), weight / total))
                .collect();
            parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.number.cmp(&b.0.number)));
            selection.parts = parts;
            selection.score = objective.score(&targets, &blended);
        }
    }
    Ok(selection)
}

/// The candidates of a blend, the best first.
fn finalists_among(results: &[TrialResult], blend: bool) -> impl Iterator<Item = &TrialResult> {
    let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    results
        .iter()
        .enumerate()
        .filter(move |(rank, result)| {
            if !blend {
                return *rank == 0;
            }
            let kind = (result.trial.algorithm.as_str(), result.trial.target_transform.name());
            let count = kinds.entry(kind).or_insert(0);
            *count += 1;
            *rank < FINALISTS || *count <= FINALISTS_PER_ALGORITHM
        })
        .map(|(_, result)| result)
}

/// Recursive feature elimination (Guyon et al., 2002): the least important sixth of the features is omitted at a time, within the time
/// budget. Returns the indices of the remaining features, if they are significantly better than all.
fn eliminate_features(
    objective: &Objective,
    trial: &Trial,
    all: &Evaluation,
    tried: &mut Vec<(usize, f64)>,
) -> Option<Vec<usize>> {
    let mut kept: Vec<usize> = (0..objective.features.len()).collect();
    let mut best: Option<(Vec<usize>, Evaluation)> = None;
    while kept.len() > MIN_FEATURES && Instant::now() < objective.deadline {
        let least = least_important(objective, trial, &kept)?;
        kept.retain(|index| !least.contains(index));
        let Ok(evaluation) = objective.evaluate(trial, LAST_RUNG, Some(&kept)) else { break };
        tried.push((kept.len(), evaluation.score));
        if best.as_ref().is_none_or(|(_, best)| evaluation.score < best.score) {
            best = Some((kept.clone(), evaluation));
        }
    }
    let (kept, evaluation) = best?;
    objective.gain(&all.out_of_fold, &evaluation.out_of_fold).is_significant().then_some(kept)
}

/// The indices of the features with the lowest permutation importance.
fn least_important(objective: &Objective, trial: &Trial, kept: &[usize]) -> Option<Vec<usize>> {
    let (x, parameters, seed) = objective.prepare(trial, Some(kept)).ok()?;
    let regressor = fit(&x, &objective.y, &parameters, trial.target_transform, seed).ok()?;
    let groups: Vec<Vec<usize>> = (0..kept.len()).map(|index| vec![index]).collect();
    let importances = permutation_importance(&regressor, trial.target_transform, &x, &objective.y, &groups, seed);
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|a, b| importances[*a].mean.total_cmp(&importances[*b].mean).then(a.cmp(b)));
    let count = (kept.len() / ELIMINATION_DIVISOR).max(1).min(kept.len() - MIN_FEATURES);
    Some(order.into_iter().take(count).map(|index| kept[index]).collect())
}

impl Selection {
    /// The algorithms with their weights, as text.
    pub(crate) fn describe(&self) -> String {
        let mut shares: Vec<(&str, f64)> = Vec::new();
        for (trial, weight) in &self.parts {
            match shares.iter_mut().find(|(algorithm, _)| *algorithm == trial.algorithm) {
                Some((_, share)) => *share += weight,
                None => shares.push((&trial.algorithm, *weight)),
            }
        }
        let shown: Vec<String> = match shares.as_slice() {
            [(algorithm, _)] => vec![(*algorithm).to_owned()],
            several => several.iter().map(|(algorithm, share)| format!("{:.0} % {algorithm}", share * 100.0)).collect(),
        };
        let parts = if self.parts.len() > 1 { format!("a blend of {}: ", self.parts.len()) } else { String::new() };
        format!("{parts}{}", shown.join(", "))
    }

    /// The configuration as YAML.
    pub(crate) fn render(&self, name: &str, target: &str, folds: usize, seed: u64) -> anyhow::Result<String> {
        let mut model = Map::new();
        model.insert("name".into(), json!(name));
        match self.parts.as_slice() {
            [(trial, _)] => {
                model.insert("best_model".into(), json!(trial.algorithm));
                let mut parameters = trial.parameters.clone();
                parameters.entry("random_state".into()).or_insert(json!(seed));
                model.insert("parameters".into(), json!(parameters));
                model.insert("target_transform".into(), json!(trial.target_transform.name()));
            }
            parts => {
                model.insert("best_model".into(), json!("Blend"));
                model.insert("parameters".into(), json!({"random_state": seed}));
                // weights have three digits; the fit divides them by their sum
                let part = |(trial, weight): &(Trial, f64)| json!(trial.part((weight * 1000.0).round() / 1000.0));
                model.insert("blend".into(), parts.iter().map(part).collect());
            }
        }
        model.insert("target_variable".into(), json!(target));
        if let Some(features) = &self.features {
            model.insert("feature_sets".into(), json!({"rfe": features}));
            model.insert("feature_set".into(), json!("rfe"));
        }
        model.insert("cross_validation".into(), json!({"folds": folds}));
        Ok(serde_yaml::to_string(&json!({"model": Value::Object(model)}))?)
    }
}
