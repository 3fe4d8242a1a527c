//! Successive halving (Jamieson and Talwalkar, 2016) in rounds of 27 trials, until the budget of time or trials is spent.

use std::sync::Mutex;

use cli::Progress;
use model::{Candidate, SearchSection, Trial};
use rayon::prelude::*;

use crate::search::{
    objective::{Evaluation, LAST_RUNG, Objective, TrialFailure},
    shard::Shard,
    trial_store::{KnownTrials, TrialRecorder},
};

/// One of this number of trials reaches the next rung.
const REDUCTION_FACTOR: usize = 3;
const TRIALS_PER_ROUND: usize = 27;

/// A trial, its last rung and its evaluation there.
#[derive(Clone, Debug)]
pub(crate) struct TrialResult {
    pub(crate) trial: Trial,
    pub(crate) rung: usize,
    pub(crate) evaluation: Evaluation,
}

/// The settings of a search, and the failures of its trials.
pub(crate) struct SuccessiveHalving<'a> {
    pub(crate) search: &'a SearchSection,
    pub(crate) candidates: &'a [Candidate],
    pub(crate) objective: &'a Objective,
    pub(crate) known: &'a KnownTrials,
    pub(crate) recorder: &'a TrialRecorder,
    pub(crate) shard: Shard,
    pub(crate) progress: &'a Progress,
    pub(crate) failures: Mutex<Vec<String>>,
}

impl SuccessiveHalving<'_> {
    /// Runs rounds until the budget is spent. Returns every evaluated trial with its last rung, the best first.
    pub(crate) fn run(&self) -> anyhow::Result<Vec<TrialResult>> {
        let mut results: Vec<TrialResult> = Vec::new();
        let numbers_of_shard: Vec<usize> = (0..self.search.trials).filter(|number| self.shard.contains(*number)).collect();
        let bar = self.progress.bar("searching", numbers_of_shard.len() as u64);
        let first = self.objective.first_rung(self.search.halving);
        for numbers in numbers_of_shard.chunks(TRIALS_PER_ROUND) {
            let trials: Vec<Trial> = numbers
                .iter()
                .map(|number| self.search.trial(*number, self.candidates).map_err(anyhow::Error::msg))
                .collect::<anyhow::Result<_>>()?;
            let mut survivors = trials;
            for rung in first..=LAST_RUNG {
                let evaluation: Vec<Option<TrialResult>> =
                    survivors.par_iter().map(|trial| self.evaluate(trial, rung)).collect();
                let is_complete = evaluation.iter().all(Option::is_some);
                let mut ranked: Vec<TrialResult> = evaluation.into_iter().flatten().collect();
                ranked.sort_by(|a, b| {
                    a.evaluation.score.total_cmp(&b.evaluation.score).then(a.trial.number.cmp(&b.trial.number))
                });
                survivors =
                    ranked.iter().take(ranked.len().div_ceil(REDUCTION_FACTOR)).map(|result| result.trial.clone()).collect();
                for result in ranked {
                    results.retain(|known| known.trial.number != result.trial.number);
                    results.push(result);
                }
                if !is_complete && self.is_over() {
                    break;
                }
            }
            bar.advance(numbers.len() as u64);
            if self.is_over() {
                break;
            }
        }
        results.sort_by(|a, b| {
            let order = b.rung.cmp(&a.rung).then(a.evaluation.score.total_cmp(&b.evaluation.score));
            order.then(a.trial.number.cmp(&b.trial.number))
        });
        Ok(results)
    }

    fn is_over(&self) -> bool {
        std::time::Instant::now() >= self.objective.deadline
    }

    /// Evaluates a trial, or takes the evaluation of an earlier run.
    fn evaluate(&self, trial: &Trial, rung: usize) -> Option<TrialResult> {
        let result = |evaluation| Some(TrialResult { trial: trial.clone(), rung, evaluation });
        if let Some((score, seconds)) = self.known.get(&(trial.number, rung)) {
            return result(Evaluation { score: *score, seconds: *seconds, out_of_fold: Vec::new() });
        }
        match self.objective.evaluate(trial, rung, None) {
            Ok(evaluation) => {
                self.recorder.record(trial, rung, &evaluation);
                result(evaluation)
            }
            Err(TrialFailure::OutOfTime) => None,
            Err(TrialFailure::Invalid(message)) => {
                if let Ok(mut failures) = self.failures.lock() {
                    failures.push(message);
                }
                None
            }
        }
    }
}
