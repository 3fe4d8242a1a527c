//! The objective of a search: a trial is always evaluated on the same rows, in the same folds.

use std::time::Instant;

use model::{BlendGain, Matrix, Metrics, Parameters, TargetTransform, Trial, fit, folds};

/// The rungs of successive halving: a ninth of the rows in one fold, a third of them in two folds, all rows in all folds.
pub(crate) const RUNGS: usize = 3;
/// The last rung: all rows, all folds.
pub(crate) const LAST_RUNG: usize = RUNGS - 1;
/// Training rows of a rung at least; smaller rungs are skipped.
const MIN_ROWS_OF_RUNG: usize = 500;
/// Cross-validation of few rows is repeated until this number of predictions is compared, so that chance decides less.
const MIN_PREDICTIONS_COMPARED: usize = 1000;
const MAX_REPETITIONS: usize = 10;

/// The rows and settings by which trials are evaluated.
pub(crate) struct Objective {
    pub(crate) x: Matrix,
    pub(crate) y: Vec<f64>,
    pub(crate) features: Vec<String>,
    pub(crate) categorical: Vec<bool>,
    pub(crate) metric: String,
    pub(crate) folds: usize,
    pub(crate) seed: u64,
    pub(crate) deadline: Instant,
}

/// The result of evaluating a trial.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    /// The metric on validation rows.
    pub(crate) score: f64,
    pub(crate) seconds: f64,
    /// On the last rung, the out-of-fold prediction of each row, one repetition after the other; otherwise empty.
    pub(crate) out_of_fold: Vec<f64>,
}

/// Why a trial was not evaluated.
#[derive(Debug)]
pub(crate) enum TrialFailure {
    /// The time budget is spent.
    OutOfTime,
    /// It cannot be fitted.
    Invalid(String),
}

impl Objective {
    /// The number of repetitions of the cross-validation.
    pub(crate) fn repetitions(&self) -> usize {
        MIN_PREDICTIONS_COMPARED.div_ceil(self.y.len().max(1)).min(MAX_REPETITIONS)
    }

    /// The first rung with enough rows.
    pub(crate) fn first_rung(&self, halving: bool) -> usize {
        let enough = |rung: usize| self.y.len() / 3_usize.pow((LAST_RUNG - rung) as u32) >= MIN_ROWS_OF_RUNG;
        if halving { (0..RUNGS).find(|rung| enough(*rung)).unwrap_or(LAST_RUNG) } else { LAST_RUNG }
    }

    /// Evaluates a trial on a rung; `features` are the indices of those that it may use.
    pub(crate) fn evaluate(
        &self,
        trial: &Trial,
        rung: usize,
        features: Option<&[usize]>,
    ) -> Result<Evaluation, TrialFailure> {
        let invalid = |message: String| TrialFailure::Invalid(format!("trial {}: {message}", trial.number));
        let (x, parameters, seed) = self.prepare(trial, features).map_err(invalid)?;
        self.cross_validate(&x, &parameters, trial.target_transform, seed, rung).map_err(|failure| match failure {
            TrialFailure::Invalid(message) => invalid(message),
            time @ TrialFailure::OutOfTime => time,
        })
    }

    /// The matrix, the parameters and the seed of a trial; `features` are the indices of those that it may use.
    ///
    /// # Errors
    /// Names a parameter that cannot be used.
    pub(crate) fn prepare(&self, trial: &Trial, features: Option<&[usize]>) -> Result<(Matrix, Parameters, u64), String> {
        let (_, parameters, seed) = trial.parameters()?;
        let all: Vec<usize> = (0..self.features.len()).collect();
        let indices = features.unwrap_or(&all);
        let names: Vec<String> = indices.iter().map(|index| self.features[*index].clone()).collect();
        let categorical: Vec<bool> = indices.iter().map(|index| self.categorical[*index]).collect();
        let parameters = parameters.for_features(&names, &categorical)?;
        let x = Matrix::new(indices.iter().map(|index| self.x.columns()[*index].clone()).collect());
        Ok((x, parameters, seed))
    }

    fn cross_validate(
        &self,
        x: &Matrix,
        parameters: &Parameters,
        transform: TargetTransform,
        seed: u64,
        rung: usize,
    ) -> Result<Evaluation, TrialFailure> {
        let started = Instant::now();
        let rows = self.y.len();
        let repetitions = if rung == LAST_RUNG { self.repetitions() } else { 1 };
        let folds_used = if rung == LAST_RUNG { self.folds } else { (rung + 1).min(self.folds) };
        let divisor = 3_usize.pow((LAST_RUNG - rung) as u32);
        let (mut out_of_fold, mut y_true, mut y_pred) = (Vec::new(), Vec::new(), Vec::new());
        for repetition in 0..repetitions {
            let fold = folds(rows, self.folds, self.seed.wrapping_add(repetition as u64));
            let mut predictions = vec![f64::NAN; rows];
            for validation_fold in 0..folds_used {
                if Instant::now() >= self.deadline {
                    return Err(TrialFailure::OutOfTime);
                }
                let (validation_rows, training_rows): (Vec<usize>, Vec<usize>) =
                    (0..rows).partition(|row| fold[*row] == validation_fold);
                // folds are shuffled, so that every n-th row is a random sample
                let training_rows: Vec<usize> = training_rows.into_iter().step_by(divisor).collect();
                let pick = |rows: &[usize]| rows.iter().map(|row| self.y[*row]).collect::<Vec<f64>>();
                let regressor = fit(&x.select_rows(&training_rows), &pick(&training_rows), parameters, transform, seed)
                    .map_err(|error| TrialFailure::Invalid(error.to_string()))?;
                for (row, predicted) in validation_rows.iter().zip(regressor.predict(&x.select_rows(&validation_rows))) {
                    predictions[*row] = transform.inverse(predicted);
                    y_true.push(self.y[*row]);
                    y_pred.push(predictions[*row]);
                }
            }
            out_of_fold.extend(predictions);
        }
        let score = self.score(&y_true, &y_pred);
        if !score.is_finite() {
            return Err(TrialFailure::Invalid("its predictions are not finite".into()));
        }
        let out_of_fold = if rung == LAST_RUNG { out_of_fold } else { Vec::new() };
        Ok(Evaluation { score, seconds: started.elapsed().as_secs_f64(), out_of_fold })
    }

    /// The metric of the search.
    pub(crate) fn score(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        let named = Metrics::compute(y_true, y_pred).named();
        named.iter().find(|(name, _)| *name == self.metric).map_or(f64::NAN, |(_, value)| *value)
    }

    /// The target, repeated as often as it is predicted.
    pub(crate) fn targets(&self) -> Vec<f64> {
        self.y.repeat(self.repetitions())
    }

    /// By how much the second predictions are better than the first.
    pub(crate) fn gain(&self, first: &[f64], second: &[f64]) -> BlendGain {
        BlendGain::compute(&self.targets(), first, second, self.repetitions())
    }
}
