//! True values, joined to the predictions that they belong to.

use std::{
    collections::VecDeque,
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use predictor::Prediction;
use rustc_hash::FxBuildHasher;

use crate::metrics::FeedbackMetrics;

/// Predictions that are remembered until their true values come.
const REMEMBERED: usize = 50_000;
/// True values that errors are measured on.
const MEASURED: usize = 1000;

/// The last predictions, and how far the last ones with a true value were off.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    memory: Mutex<Memory>,
    errors: Mutex<VecDeque<Error>>,
}

/// A ring: a prediction is written at every request, and looked for once in a while.
#[derive(Debug, Default)]
struct Memory {
    ring: Vec<(u64, Prediction)>,
    /// Where the next one goes.
    next: usize,
}

/// How far a prediction was off.
#[derive(Clone, Copy, Debug)]
struct Error {
    signed: f64,
    share: f64,
    covered: Option<bool>,
}

impl Feedback {
    /// Remembers what was predicted under a request's id.
    pub(crate) fn remember(&self, request_id: &str, prediction: Prediction) {
        let kept = (FxBuildHasher.hash_one(request_id), prediction);
        let mut memory = lock(&self.memory);
        if memory.ring.len() < REMEMBERED {
            memory.ring.push(kept);
        } else {
            let next = memory.next;
            memory.ring[next] = kept;
            memory.next = (next + 1) % REMEMBERED;
        }
    }

    /// What was predicted under this id, if it is still known.
    pub(crate) fn prediction(&self, request_id: &str) -> Option<Prediction> {
        let key = FxBuildHasher.hash_one(request_id);
        let memory = lock(&self.memory);
        // the newest first
        let (newer, older) = memory.ring.split_at(memory.next);
        let found = newer.iter().rev().chain(older.iter().rev()).find(|(known, _)| *known == key);
        found.map(|(_, prediction)| *prediction)
    }

    /// Measures a prediction against its true value.
    pub(crate) fn measure(&self, prediction: &Prediction, y_true: f64, metrics: &FeedbackMetrics) {
        let signed = prediction.value - y_true;
        let error = Error {
            signed,
            share: if y_true == 0.0 { f64::NAN } else { (signed / y_true).abs() },
            covered: prediction.interval.map(|(low, high)| low <= y_true && y_true <= high),
        };
        let mut errors = lock(&self.errors);
        errors.push_back(error);
        if errors.len() > MEASURED {
            errors.pop_front();
        }
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            if count == 0.0 { f64::NAN } else { sum / count }
        };
        metrics.received.inc();
        metrics.rows.set(errors.len() as i64);
        metrics.mae.set(mean(&mut errors.iter().map(|error| error.signed.abs())));
        metrics.bias.set(mean(&mut errors.iter().map(|error| error.signed)));
        metrics.mape.set(mean(&mut errors.iter().map(|error| error.share).filter(|share| share.is_finite())));
        let covered = errors.iter().filter_map(|error| error.covered);
        metrics.coverage.set(mean(&mut covered.map(|covered| if covered { 1.0 } else { 0.0 })));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_predictions_are_remembered() {
        let feedback = Feedback::default();
        let of = |value: usize| Prediction { value: value as f64, interval: None };
        for number in 0..REMEMBERED + 10 {
            feedback.remember(&format!("id-{number}"), of(number));
        }
        assert_eq!(feedback.prediction("id-9"), None);
        for number in [10, 11, REMEMBERED, REMEMBERED + 9] {
            assert_eq!(feedback.prediction(&format!("id-{number}")), Some(of(number)));
        }
        feedback.remember("id-10", of(5));
        assert_eq!(feedback.prediction("id-10"), Some(of(5)));
    }
}
