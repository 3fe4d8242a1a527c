//! How a trial is measured: always on the same rows, in the same folds.

use std::time::Instant;

use model::{BlendGain, Matrix, Metrics, Parameters, TargetTransform, Trial, fit, folds};

/// What part of the work a trial has to do before the next third is chosen: a ninth of the rows in one fold, a third in two, all.
pub(crate) const RUNGS: usize = 3;
/// The last rung: all rows, all folds.
pub(crate) const TOP: usize = RUNGS - 1;
/// Fewer rows than this are not divided further.
const FEWEST_ROWS: usize = 500;
/// Cross-validation is repeated until so many predictions are compared, so that few rows do not leave it to chance.
const PREDICTIONS: usize = 1000;
const MOST_COPIES: usize = 10;

/// The rows that trials are measured on.
pub(crate) struct Course {
    pub(crate) x: Matrix,
    pub(crate) y: Vec<f64>,
    pub(crate) features: Vec<String>,
    pub(crate) categorical: Vec<bool>,
    pub(crate) metric: String,
    pub(crate) folds: usize,
    pub(crate) seed: u64,
    pub(crate) deadline: Instant,
}

/// What a trial showed.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// The metric on rows that were held out.
    pub(crate) score: f64,
    pub(crate) seconds: f64,
    /// On the last rung what was predicted for each row, one repetition behind the other.
    pub(crate) held_out: Vec<f64>,
}

/// Why a trial was not measured.
#[derive(Debug)]
pub(crate) enum Unmeasured {
    /// There was no time left.
    Time,
    /// It cannot be fitted.
    Fault(String),
}

impl Course {
    /// How often the cross-validation is repeated.
    pub(crate) fn copies(&self) -> usize {
        PREDICTIONS.div_ceil(self.y.len().max(1)).min(MOST_COPIES)
    }

    /// The first rung that is worth its name.
    pub(crate) fn first_rung(&self, halving: bool) -> usize {
        let enough = |rung: usize| self.y.len() / 3_usize.pow((TOP - rung) as u32) >= FEWEST_ROWS;
        if halving { (0..RUNGS).find(|rung| enough(*rung)).unwrap_or(TOP) } else { TOP }
    }

    /// Measures a trial on a rung; `features` are the places of those it may use.
    pub(crate) fn measure(&self, trial: &Trial, rung: usize, features: Option<&[usize]>) -> Result<Measured, Unmeasured> {
        let fault = |message: String| Unmeasured::Fault(format!("trial {}: {message}", trial.number));
        let (x, parameters, seed) = self.prepared(trial, features).map_err(fault)?;
        self.run(&x, &parameters, trial.target_transform, seed, rung).map_err(|unmeasured| match unmeasured {
            Unmeasured::Fault(message) => fault(message),
            time @ Unmeasured::Time => time,
        })
    }

    /// What a trial is fitted to, and with: `features` are the places of those it may use.
    ///
    /// # Errors
    /// Names a parameter that cannot be used.
    pub(crate) fn prepared(&self, trial: &Trial, features: Option<&[usize]>) -> Result<(Matrix, Parameters, u64), String> {
        let (_, parameters, seed) = trial.parameters()?;
        let all: Vec<usize> = (0..self.features.len()).collect();
        let places = features.unwrap_or(&all);
        let names: Vec<String> = places.iter().map(|place| self.features[*place].clone()).collect();
        let categorical: Vec<bool> = places.iter().map(|place| self.categorical[*place]).collect();
        let parameters = parameters.for_features(&names, &categorical)?;
        let x = Matrix::new(places.iter().map(|place| self.x.columns()[*place].clone()).collect());
        Ok((x, parameters, seed))
    }

    fn run(
        &self,
        x: &Matrix,
        parameters: &Parameters,
        transform: TargetTransform,
        seed: u64,
        rung: usize,
    ) -> Result<Measured, Unmeasured> {
        let started = Instant::now();
        let rows = self.y.len();
        let copies = if rung == TOP { self.copies() } else { 1 };
        let folds_used = if rung == TOP { self.folds } else { (rung + 1).min(self.folds) };
        let divisor = 3_usize.pow((TOP - rung) as u32);
        let (mut held_out, mut y_true, mut y_pred) = (Vec::new(), Vec::new(), Vec::new());
        for copy in 0..copies {
            let fold = folds(rows, self.folds, self.seed.wrapping_add(copy as u64));
            let mut predictions = vec![f64::NAN; rows];
            for held in 0..folds_used {
                if Instant::now() >= self.deadline {
                    return Err(Unmeasured::Time);
                }
                let (inside, outside): (Vec<usize>, Vec<usize>) = (0..rows).partition(|row| fold[*row] == held);
                // rows are dealt by a shuffle, so that every so many of them are a sample
                let outside: Vec<usize> = outside.into_iter().step_by(divisor).collect();
                let pick = |rows: &[usize]| rows.iter().map(|row| self.y[*row]).collect::<Vec<f64>>();
                let regressor = fit(&x.select_rows(&outside), &pick(&outside), parameters, transform, seed)
                    .map_err(|error| Unmeasured::Fault(error.to_string()))?;
                for (row, predicted) in inside.iter().zip(regressor.predict(&x.select_rows(&inside))) {
                    predictions[*row] = transform.inverse(predicted);
                    y_true.push(self.y[*row]);
                    y_pred.push(predictions[*row]);
                }
            }
            held_out.extend(predictions);
        }
        let score = self.score(&y_true, &y_pred);
        if !score.is_finite() {
            return Err(Unmeasured::Fault("its predictions are no numbers".into()));
        }
        let held_out = if rung == TOP { held_out } else { Vec::new() };
        Ok(Measured { score, seconds: started.elapsed().as_secs_f64(), held_out })
    }

    /// The metric that decides.
    pub(crate) fn score(&self, y_true: &[f64], y_pred: &[f64]) -> f64 {
        let named = Metrics::compute(y_true, y_pred).named();
        named.iter().find(|(name, _)| *name == self.metric).map_or(f64::NAN, |(_, value)| *value)
    }

    /// The target as often as it was predicted.
    pub(crate) fn targets(&self) -> Vec<f64> {
        self.y.repeat(self.copies())
    }

    /// By how much the second is better than the first.
    pub(crate) fn gain(&self, first: &[f64], second: &[f64]) -> BlendGain {
        BlendGain::compute(&self.targets(), first, second, self.copies())
    }
}
