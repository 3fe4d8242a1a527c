//! From the best trials to the configuration that is written.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use model::{BlendGain, Trial, fit, greedy_weights, out_of_fold_blend, permutation_importance};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::search::{
    objective::{Course, Measured, TOP},
    successive_halving::Entry,
};

/// Trials that a blend is made of: so many of the best, and so many of each kind, for what errs alike helps little.
const BEST: usize = 4;
const OF_A_KIND: usize = 2;
/// Parts that weigh less than this are left out.
const LEAST_WEIGHT: f64 = 0.04;
/// Of so many features one is left out at a time.
const LEFT_OUT: usize = 6;
const FEWEST_FEATURES: usize = 2;
const NO_HURRY: Duration = Duration::from_hours(24);

/// The best there is.
pub(crate) struct Winner {
    /// Trials and their weights, the heaviest first: one, or a blend.
    pub(crate) parts: Vec<(Trial, f64)>,
    /// The features, where some are left out.
    pub(crate) features: Option<Vec<String>>,
    /// The metric on rows held out; for a blend with weights that were chosen on other rows.
    pub(crate) score: f64,
    /// By how much the blend is better than its best part.
    pub(crate) blend_gain: Option<BlendGain>,
    /// The ways that were tried with fewer features: how many, and the metric.
    pub(crate) eliminated: Vec<(usize, f64)>,
}

/// Chooses among the entries of the last rung, the best first.
pub(crate) fn choose(course: &mut Course, board: &[Entry], eliminate: bool, blend: bool) -> anyhow::Result<Winner> {
    let finalists: Vec<(Trial, Measured)> =
        finalists_of(board, blend).map(|entry| (entry.trial.clone(), entry.measured.clone())).collect();
    // what was measured before, or not to the end, is measured again
    let measuring = &*course;
    let again = |(trial, measured): (Trial, Measured)| {
        if measured.held_out.is_empty() {
            measuring.measure(&trial, TOP, None).ok().map(|measured| (trial, measured))
        } else {
            Some((trial, measured))
        }
    };
    let mut finalists: Vec<(Trial, Measured)> = finalists.into_par_iter().filter_map(again).collect();
    finalists.sort_by(|a, b| a.1.score.total_cmp(&b.1.score).then(a.0.number.cmp(&b.0.number)));
    if finalists.is_empty() {
        // the best by what is known of it, however long that takes
        let deadline = std::mem::replace(&mut course.deadline, Instant::now() + NO_HURRY);
        let best =
            board.first().and_then(|entry| Some((entry.trial.clone(), course.measure(&entry.trial, TOP, None).ok()?)));
        course.deadline = deadline;
        finalists.extend(best);
    }
    let course = &*course;
    anyhow::ensure!(!finalists.is_empty(), "no trial was measured to the end: give it more minutes");

    let mut eliminated = Vec::new();
    let mut features = None;
    if eliminate && course.features.len() > FEWEST_FEATURES {
        let (trial, best) = &finalists[0];
        let kept = with_fewer(course, trial, best, &mut eliminated);
        if let Some(kept) = kept {
            // all of them on the same features, or none
            let moved: Vec<(Trial, Measured)> = finalists
                .par_iter()
                .filter_map(|(trial, _)| Some((trial.clone(), course.measure(trial, TOP, Some(&kept)).ok()?)))
                .collect();
            if !moved.is_empty() {
                finalists = moved;
                finalists.sort_by(|a, b| a.1.score.total_cmp(&b.1.score).then(a.0.number.cmp(&b.0.number)));
                features = Some(kept.iter().map(|place| course.features[*place].clone()).collect());
            }
        }
    }

    let (best, measured) = finalists[0].clone();
    let mut winner = Winner { parts: vec![(best, 1.0)], features, score: measured.score, blend_gain: None, eliminated };
    if blend && finalists.len() > 1 {
        let targets = course.targets();
        let predictions: Vec<Vec<f64>> = finalists.iter().map(|(_, measured)| measured.held_out.clone()).collect();
        let blended = out_of_fold_blend(&targets, &predictions, course.copies(), course.seed);
        let gain = course.gain(&predictions[0], &blended);
        winner.blend_gain = Some(gain);
        if gain.is_significant() {
            let rows: Vec<usize> = (0..targets.len()).collect();
            let weights = greedy_weights(&targets, &predictions, &rows);
            let heavy = |weight: &f64| *weight >= LEAST_WEIGHT;
            let total: f64 = weights.iter().filter(|weight| heavy(weight)).sum();
            let mut parts: Vec<(Trial, f64)> = finalists
                .iter()
                .zip(&weights)
                .filter(|(_, weight)| heavy(weight))
                .map(|((trial, _), weight)| (trial.clone(), weight / total))
                .collect();
            parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.number.cmp(&b.0.number)));
            winner.parts = parts;
            winner.score = course.score(&targets, &blended);
        }
    }
    Ok(winner)
}

/// The trials that come into question, the best first.
fn finalists_of(board: &[Entry], blend: bool) -> impl Iterator<Item = &Entry> {
    let mut kinds: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    board
        .iter()
        .enumerate()
        .filter(move |(rank, entry)| {
            if !blend {
                return *rank == 0;
            }
            let kind = (entry.trial.algorithm.as_str(), entry.trial.target_transform.name());
            let seen = kinds.entry(kind).or_insert(0);
            *seen += 1;
            *rank < BEST || *seen <= OF_A_KIND
        })
        .map(|(_, entry)| entry)
}

/// Recursive feature elimination (Guyon et al., 2002): the features that matter least go, a sixth at a time, for as long as there is time.
/// The places of those that are kept, if that is better than all by more than chance.
fn with_fewer(course: &Course, trial: &Trial, all: &Measured, tried: &mut Vec<(usize, f64)>) -> Option<Vec<usize>> {
    let mut kept: Vec<usize> = (0..course.features.len()).collect();
    let mut best: Option<(Vec<usize>, Measured)> = None;
    while kept.len() > FEWEST_FEATURES && Instant::now() < course.deadline {
        let least = least_important(course, trial, &kept)?;
        kept.retain(|place| !least.contains(place));
        let Ok(measured) = course.measure(trial, TOP, Some(&kept)) else { break };
        tried.push((kept.len(), measured.score));
        if best.as_ref().is_none_or(|(_, best)| measured.score < best.score) {
            best = Some((kept.clone(), measured));
        }
    }
    let (kept, measured) = best?;
    course.gain(&all.held_out, &measured.held_out).is_significant().then_some(kept)
}

/// The places of the features whose shuffling costs least.
fn least_important(course: &Course, trial: &Trial, kept: &[usize]) -> Option<Vec<usize>> {
    let (x, parameters, seed) = course.prepared(trial, Some(kept)).ok()?;
    let regressor = fit(&x, &course.y, &parameters, trial.target_transform, seed).ok()?;
    let groups: Vec<Vec<usize>> = (0..kept.len()).map(|place| vec![place]).collect();
    let found = permutation_importance(&regressor, trial.target_transform, &x, &course.y, &groups, seed);
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|a, b| found[*a].mean.total_cmp(&found[*b].mean).then(a.cmp(b)));
    let count = (kept.len() / LEFT_OUT).max(1).min(kept.len() - FEWEST_FEATURES);
    Some(order.into_iter().take(count).map(|place| kept[place]).collect())
}

impl Winner {
    /// The algorithms, with their shares.
    pub(crate) fn kinds(&self) -> String {
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

    /// The configuration, as text.
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
                // shares to three digits; they are divided by their sum anyway
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
