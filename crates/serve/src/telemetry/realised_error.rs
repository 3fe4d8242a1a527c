//! Joins actual values to predictions, each once and by the caller of the prediction, and computes the realised error.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use predictor::Prediction;
use prometheus_client::metrics::counter::Counter;

use crate::{
    admission::auth::Caller,
    telemetry::recent_entries::{KeyHasher, RecentEntries},
};

/// The maximum number of predictions that wait for their actual values.
const MAX_PREDICTIONS: usize = 50_000;
/// The maximum number of remembered actual values without a prediction, so that a repeated one is recorded once.
const MAX_UNKNOWN_IDS: usize = 10_000;
/// The number of actual values that errors are computed on.
const ERROR_WINDOW: usize = 1000;

/// The last predictions, and the errors of the last ones with an actual value.
#[derive(Debug)]
pub(crate) struct RealisedErrors {
    hasher: KeyHasher,
    predictions: Mutex<RecentEntries<PredictionEntry>>,
    /// Actual values for request ids without a known prediction.
    unknown_ids: Mutex<RecentEntries<f64>>,
    errors: Mutex<VecDeque<PredictionError>>,
    joined: Counter,
}

/// A prediction, and its actual value once that is known.
#[derive(Clone, Copy, Debug)]
struct PredictionEntry {
    prediction: Prediction,
    y_true: Option<f64>,
}

/// The error of a prediction.
#[derive(Clone, Copy, Debug)]
struct PredictionError {
    /// Prediction minus actual value.
    signed: f64,
    /// Absolute error as a share of the actual value, unless that is 0.
    share: Option<f64>,
    covered: Option<bool>,
}

/// The error over the last actual values; unknown statistics are `None`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ErrorSummary {
    /// The number of actual values.
    pub(crate) rows: usize,
    pub(crate) mae: Option<f64>,
    pub(crate) bias: Option<f64>,
    pub(crate) mape: Option<f64>,
    /// Share of actual values inside their interval.
    pub(crate) coverage: Option<f64>,
}

/// The result of joining an actual value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum JoinOutcome {
    /// It belongs to this prediction. A duplicate was sent before, and is not recorded or counted again.
    Prediction { prediction: Prediction, duplicate: bool },
    /// This caller has no prediction under this id.
    Unknown { duplicate: bool },
    /// A different actual value was sent before.
    Conflict { recorded: f64 },
}

impl RealisedErrors {
    /// An empty memory; `joined` counts actual values that belong to a prediction.
    pub(crate) fn new(joined: Counter) -> Self {
        Self {
            hasher: KeyHasher::random(),
            predictions: Mutex::new(RecentEntries::new(MAX_PREDICTIONS)),
            unknown_ids: Mutex::new(RecentEntries::new(MAX_UNKNOWN_IDS)),
            errors: Mutex::default(),
            joined,
        }
    }

    /// Remembers a prediction under a request id. If the id is used again, the last prediction counts, until there is an actual value.
    pub(crate) fn remember(&self, caller: Caller, request_id: &str, prediction: Prediction) {
        let key = self.hasher.key(caller, request_id);
        let mut predictions = lock(&self.predictions);
        match predictions.get_mut(key) {
            None => predictions.insert(key, PredictionEntry { prediction, y_true: None }),
            Some(known) if known.y_true.is_none() => known.prediction = prediction,
            Some(_) => {}
        }
    }

    /// Joins an actual value to the caller's prediction under this id; the first one is measured. A value without a prediction is remembered
    /// if `keep_unknown`.
    pub(crate) fn join(&self, caller: Caller, request_id: &str, y_true: f64, keep_unknown: bool) -> JoinOutcome {
        let key = self.hasher.key(caller, request_id);
        // always locked in this order
        let mut predictions = lock(&self.predictions);
        let known = predictions.get_mut(key);
        if let Some(PredictionEntry { prediction, y_true: Some(recorded) }) = known {
            return if *recorded == y_true {
                JoinOutcome::Prediction { prediction: *prediction, duplicate: true }
            } else {
                JoinOutcome::Conflict { recorded: *recorded }
            };
        }
        let mut unknown_ids = lock(&self.unknown_ids);
        let before = unknown_ids.get_mut(key).copied();
        if let Some(recorded) = before.filter(|recorded| *recorded != y_true) {
            return JoinOutcome::Conflict { recorded };
        }
        let duplicate = before.is_some();
        if let Some(known) = known {
            known.y_true = Some(y_true);
            self.joined.inc();
            self.measure(&known.prediction, y_true);
            return JoinOutcome::Prediction { prediction: known.prediction, duplicate };
        }
        if keep_unknown && !duplicate {
            unknown_ids.insert(key, y_true);
        }
        JoinOutcome::Unknown { duplicate }
    }

    fn measure(&self, prediction: &Prediction, y_true: f64) {
        // the difference of two finite numbers with different signs may overflow
        let signed = (prediction.value - y_true).clamp(f64::MIN, f64::MAX);
        let error = PredictionError {
            signed,
            share: Some((signed / y_true).abs()).filter(|share| share.is_finite()),
            covered: prediction.interval.map(|(low, high)| low <= y_true && y_true <= high),
        };
        let mut errors = lock(&self.errors);
        errors.push_back(error);
        if errors.len() > ERROR_WINDOW {
            errors.pop_front();
        }
    }

    /// The error over the last actual values.
    pub(crate) fn errors(&self) -> ErrorSummary {
        let errors = lock(&self.errors);
        ErrorSummary {
            rows: errors.len(),
            mae: mean(errors.iter().map(|error| error.signed.abs())),
            bias: mean(errors.iter().map(|error| error.signed)),
            mape: mean(errors.iter().filter_map(|error| error.share)),
            coverage: mean(errors.iter().filter_map(|error| error.covered).map(|covered| f64::from(u8::from(covered)))),
        }
    }
}

/// The mean of finite numbers. It is finite even if their sum overflows; `None` without numbers.
fn mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count() as f64;
    if count == 0.0 {
        return None;
    }
    let sum: f64 = values.clone().sum();
    let scaled = || values.map(|value| value / count).sum::<f64>().clamp(f64::MIN, f64::MAX);
    Some(if sum.is_finite() { sum / count } else { scaled() })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: Caller = Caller(Some("shop"));
    const BANK: Caller = Caller(Some("bank"));

    fn of(value: f64) -> Prediction {
        Prediction { value, interval: Some((value - 10.0, value + 10.0)) }
    }

    #[test]
    fn a_prediction_is_joined_once() {
        let feedback = RealisedErrors::new(Counter::default());
        feedback.remember(SHOP, "17", of(100.0));
        let joined = |duplicate| JoinOutcome::Prediction { prediction: of(100.0), duplicate };
        assert_eq!(feedback.join(SHOP, "17", 90.0, false), joined(false));
        for _ in 0..5 {
            assert_eq!(feedback.join(SHOP, "17", 90.0, false), joined(true));
            assert_eq!(feedback.join(SHOP, "17", 91.0, false), JoinOutcome::Conflict { recorded: 90.0 });
            // the client repeats the id
            feedback.remember(SHOP, "17", of(500.0));
        }
        let expected =
            ErrorSummary { rows: 1, mae: Some(10.0), bias: Some(10.0), mape: Some(10.0 / 90.0), coverage: Some(1.0) };
        assert_eq!(feedback.errors(), expected);
        // without an actual value the last prediction counts
        feedback.remember(SHOP, "18", of(1.0));
        feedback.remember(SHOP, "18", of(2.0));
        assert_eq!(feedback.join(SHOP, "18", 2.0, false), JoinOutcome::Prediction { prediction: of(2.0), duplicate: false });
        assert_eq!(feedback.errors().rows, 2);
    }

    #[test]
    fn callers_do_not_see_the_ids_of_others() {
        let feedback = RealisedErrors::new(Counter::default());
        let unknown = JoinOutcome::Unknown { duplicate: false };
        feedback.remember(SHOP, "17", of(100.0));
        for other in [BANK, Caller(None)] {
            assert_eq!(feedback.join(other, "17", 5.0, false), unknown);
        }
        feedback.remember(BANK, "17", of(7.0));
        assert_eq!(feedback.join(BANK, "17", 5.0, false), JoinOutcome::Prediction { prediction: of(7.0), duplicate: false });
        assert_eq!(
            feedback.join(SHOP, "17", 90.0, false),
            JoinOutcome::Prediction { prediction: of(100.0), duplicate: false }
        );
    }

    #[test]
    fn a_true_value_without_a_prediction_is_taken_once() {
        let feedback = RealisedErrors::new(Counter::default());
        let unknown = |duplicate| JoinOutcome::Unknown { duplicate };
        assert_eq!(feedback.join(SHOP, "17", 5.0, false), unknown(false));
        assert_eq!(feedback.join(SHOP, "17", 6.0, true), unknown(false));
        assert_eq!(feedback.join(SHOP, "17", 6.0, true), unknown(true));
        assert_eq!(feedback.join(SHOP, "17", 7.0, true), JoinOutcome::Conflict { recorded: 6.0 });
        assert_eq!(feedback.join(BANK, "17", 7.0, true), unknown(false));
        // a later prediction is measured by the first value
        feedback.remember(SHOP, "17", of(8.0));
        assert_eq!(feedback.join(SHOP, "17", 7.0, true), JoinOutcome::Conflict { recorded: 6.0 });
        for _ in 0..2 {
            assert_eq!(
                feedback.join(SHOP, "17", 6.0, true),
                JoinOutcome::Prediction { prediction: of(8.0), duplicate: true }
            );
        }
        assert_eq!((feedback.errors().rows, feedback.errors().mae, feedback.joined.get()), (1, Some(2.0), 1));
    }

    #[test]
    fn the_last_predictions_are_remembered() {
        let feedback = RealisedErrors::new(Counter::default());
        for number in 0..MAX_PREDICTIONS + 10 {
            feedback.remember(SHOP, &format!("id-{number}"), of(number as f64));
        }
        assert_eq!(feedback.join(SHOP, "id-9", 1.0, false), JoinOutcome::Unknown { duplicate: false });
        for number in [10, 11, MAX_PREDICTIONS, MAX_PREDICTIONS + 9] {
            let joined = JoinOutcome::Prediction { prediction: of(number as f64), duplicate: false };
            assert_eq!(feedback.join(SHOP, &format!("id-{number}"), 1.0, false), joined);
        }
    }

    #[test]
    fn errors_are_finite_and_unknown_where_nothing_tells_them() {
        let feedback = RealisedErrors::new(Counter::default());
        assert_eq!(feedback.errors(), ErrorSummary::default());
        let point = Prediction { value: 3.0, interval: None };
        feedback.remember(SHOP, "zero", point);
        feedback.join(SHOP, "zero", 0.0, false);
        let expected = ErrorSummary { rows: 1, mae: Some(3.0), bias: Some(3.0), mape: None, coverage: None };
        assert_eq!(feedback.errors(), expected);
        for number in 0..2 * ERROR_WINDOW {
            let (value, y_true) = if number % 2 == 0 { (1e308, -f64::MAX) } else { (-1e308, f64::MAX) };
            feedback.remember(SHOP, &number.to_string(), Prediction { value, interval: Some((value, value)) });
            feedback.join(SHOP, &number.to_string(), y_true, false);
        }
        let errors = feedback.errors();
        assert_eq!((errors.rows, errors.coverage), (ERROR_WINDOW, Some(0.0)));
        for error in [errors.mae, errors.bias, errors.mape] {
            assert!(error.is_some_and(f64::is_finite), "{errors:?}");
        }
        assert!((errors.mae.unwrap() / f64::MAX - 1.0).abs() < 1e-9, "{errors:?}");
    }
}
